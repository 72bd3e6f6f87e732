// What waits to be sent: each action once, whatever happens to the page, the network or the store.
//
// Actions are gathered in batches, each an entry of localStorage named by the time it was opened and by chance; that is
// also its Idempotency-Key. The entry is the request's body, after a space for as long as the batch is open, that is, the
// queue that opened it may append to it. To send a batch freezes it: from then on every attempt, of this page or of
// another, sends the same bytes under the same key, which the store takes once. A beacon has no answer: its batch stays,
// after a tab, and is sent again once there can be an answer.
import type {Options} from './tracker';

// Browsers hold back beacons and keepalive requests of 64 KiB together.
const MAX_BATCH_BYTES = 59_000;
// The store refuses properties over 32 KiB, and with them the whole batch.
const MAX_ACTION_BYTES = 32_000;
// What the queue may take of localStorage, of which browsers give a site 5 MB, in characters.
const MAX_QUEUE = 2_000_000;
const ENTRY_OVERHEAD = 5_000;

// In milliseconds. After ORPHANED an open batch of another page was left behind by a crash; for REMEMBERED the store
// knows a key for sure, and what a beacon may have brought is not sent again later.
const DEFAULT_INTERVAL = 5_000;
const MAX_BACKOFF = 300_000;
const ORPHANED = 60_000;
const REMEMBERED = 86_400_000;

const OPEN = ' ';
const BEACONED = '\t';
const PREFIX = 'logstore ';
const TAIL = ']}]';

// NUL or half a surrogate pair, as JSON spells them; other escapes are matched to be passed over.
const REFUSED = /\\u(0000|d[89a-f]..)|\\./g;

const random = (): string => crypto.getRandomValues(new Uint32Array(4)).join('-');

const bytes = (text: string): number => new TextEncoder().encode(text).length;

/** Start to send what earlier pages left, and return what queues an action. */
export function startQueue({url, key, userId, interval = DEFAULT_INTERVAL, onError}: Options): (action: object) => void {
    const prefix = PREFIX + url + ' ';
    let disk: Record<string, string> = {};
    // What localStorage has no room for.
    const memory: Record<string, string> = {};
    let sessionId = random();

    // The name and size of the batch that this queue opened last.
    let openName = '';
    let openSize = 0;

    let isSending = false;
    let status = 0;
    let failures = 0;
    let notBefore = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;

    /** The names of all batches, the oldest first. */
    const names = (): string[] =>
        [...Object.keys(disk), ...Object.keys(memory)].filter((name) => name.startsWith(prefix)).sort();

    const read = (name: string): string => memory[name] ?? disk[name] ?? '';

    const drop = (name: string): void => {
        delete disk[name];
        delete memory[name];
    };

    const write = (name: string, entry: string): void => {
        try {
            disk[name] = entry;
        } catch {
            drop(name);
            memory[name] = entry;
        }
    };

    const idOf = (name: string): string => name.slice(prefix.length);

    /** Return the body of a batch, which nobody changes from now on; '' if it must not be sent. */
    const freeze = (name: string): string => {
        const entry = read(name);
        const body = entry.trimStart();
        const age = Date.now() - parseInt(idOf(name));
        if (entry[0] === OPEN) {
            if (name !== openName && age < ORPHANED) {
                return '';
            }
            write(name, body);
        }
        if (entry[0] === BEACONED && age > REMEMBERED) {
            drop(name);
            return '';
        }
        return body;
    };

    const sendLater = (milliseconds: number): void => {
        timer ??= setTimeout(() => {
            timer = undefined;
            send();
        }, milliseconds);
    };

    /** Send the oldest batch, unless it is the one named. */
    const send = (but?: string): void => {
        const wait = notBefore - Date.now();
        if (document.hidden) {
            sendBeacons();
        } else if (wait > 0) {
            sendLater(wait);
        } else if (!isSending) {
            for (const name of names()) {
                const body = name !== but && freeze(name);
                if (body) {
                    void fetchAnswer(name, body);
                    return;
                }
            }
        }
    };

    const fetchAnswer = async (name: string, body: string): Promise<void> => {
        let seconds = 0;
        isSending = true;
        status = 0;
        try {
            const answer = await fetch(url, {
                method: 'POST',
                body,
                keepalive: true,
                credentials: 'omit',
                headers: {
                    'Content-Type': 'application/json',
                    'Idempotency-Key': idOf(name),
                    ...(key && {Authorization: 'Bearer ' + key}),
                },
            });
            status = answer.status;
            seconds = Number(answer.headers.get('Retry-After')) || 0;
            if (status < 500 && status !== 429) {
                drop(name);
                failures = -1;
                if (!answer.ok) {
                    void answer.text().then((text) => onError?.(answer.status, text));
                }
            }
        } catch {}
        isSending = false;
        if (++failures) {
            const backoff = Math.min(1_000 * 2 ** failures, MAX_BACKOFF) * (1 - Math.random() / 2);
            notBefore = Date.now() + seconds * 1_000 + backoff;
        }
        // What came meanwhile goes on being gathered.
        send(openName);
        sendLater(interval);
    };

    const sendBeacons = (): void => {
        for (const name of navigator.onLine ? names() : []) {
            const body = read(name)[0] !== BEACONED && freeze(name);
            if (body) {
                const query = new URLSearchParams({idempotencyKey: idOf(name), ...(key && {key})});
                if (!navigator.sendBeacon(`${url}?${query}`, body)) {
                    return;
                }
                write(name, BEACONED + body);
            }
        }
    };

    const makeRoom = (): void => {
        let room = MAX_QUEUE;
        for (const name of names().reverse()) {
            room -= ENTRY_OVERHEAD + read(name).length;
            if (room < 0) {
                drop(name);
            }
        }
    };

    // To look at storage that the visitor turned off throws.
    try {
        disk = localStorage ?? disk;
        sessionId = sessionStorage[PREFIX] ??= sessionId;
    } catch {}
    const head = `${OPEN}[${JSON.stringify({userId, sessionId}).slice(0, -1)},"actions":[`;
    document.addEventListener('visibilitychange', () => send());
    addEventListener('pagehide', sendBeacons);
    addEventListener('online', () => {
        if (!status) {
            notBefore = 0;
        }
        send();
    });
    sendLater(0);

    return (action) => {
        const text = JSON.stringify(action).replace(REFUSED, (escape, refused) => (refused ? '\ufffd' : escape));
        const size = bytes(text) + 1;
        if (size > MAX_ACTION_BYTES) {
            return;
        }
        // Read anew each time, for another page may have taken it for orphaned.
        let start = read(openName);
        if (start[0] === OPEN && openSize + size < MAX_BATCH_BYTES) {
            start = start.slice(0, -TAIL.length) + ',';
        } else {
            freeze(openName);
            makeRoom();
            openName = prefix + Date.now() + '-' + random();
            start = head;
            openSize = bytes(head);
        }
        openSize += size;
        write(openName, start + text + TAIL);
        sendLater(interval);
    };
}
