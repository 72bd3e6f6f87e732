// What visitors do on a page, sent to the log store.
import {captureClicks, captureNavigations, captureViews} from './capture';
import {startQueue} from './queue';

export interface Options {
    /** The address that logs are posted to: `https://logs.example.com/logs/`. */
    url: string;
    /** An API key of the scope `ingest`. */
    key?: string;
    /** Whose actions these are, 1 to 255 characters; while it is empty, nothing is recorded. */
    userId: string;
    /** How long actions are gathered before they are sent, in milliseconds; 5,000 unless given. */
    interval?: number;
    /** Record even if the browser asks not to, by Global Privacy Control or Do Not Track. */
    ignorePrivacySignals?: boolean;
    /** Called with the status and the body of the answer when the store refuses a batch, which is then dropped. */
    onError?: (status: number, body: string) => void;
}

/** Members of an action's properties beside its own. */
export type More = Record<string, unknown>;

const MAX_TEXT = 2_048;
const SIX_HOURS = 6 * 3_600_000;

/** The present as `YYYY-MM-DDThh:mm:ss-06:00`. */
const now = (): string => new Date(Date.now() - SIX_HOURS).toISOString().slice(0, 19) + '-06:00';

/** A text of at most MAX_TEXT characters, no pair of surrogates cut in two. */
const short = (text: string): string => [...text].slice(0, MAX_TEXT).join('');

export class LogStore {
    #queue: ((action: object) => void) | undefined;
    #mayRecord = false;

    constructor(options: Options) {
        const {globalPrivacyControl, doNotTrack} = navigator as Navigator & {globalPrivacyControl?: boolean};
        if (options.ignorePrivacySignals || !(globalPrivacyControl || doNotTrack === '1')) {
            this.#queue = startQueue(options);
            this.#mayRecord = !!options.userId;
        }
    }

    /** Record a click. x, y: where on the page, in CSS pixels. */
    click(x: number, y: number, more?: More): void {
        if (Math.abs(x) + Math.abs(y) <= Number.MAX_SAFE_INTEGER) {
            this.#record('CLICK', {...more, locationX: +x, locationY: +y});
        }
    }

    /** Record that something was seen. id: what it was, cut to 2,048 characters. */
    view(id: string, more?: More): void {
        if (id) {
            this.#record('VIEW', {...more, viewedId: short(id)});
        }
    }

    /** Record a way from one page to another. from, to: their names or paths, cut to 2,048 characters. */
    navigate(from: string, to: string, more?: More): void {
        if (from && to) {
            this.#record('NAVIGATE', {...more, pageFrom: short(from), pageTo: short(to)});
        }
    }

    /** Record, from now on, clicks, ways through the History API, and elements with data-view-id that become visible. */
    autocapture(): void {
        if (this.#mayRecord) {
            this.autocapture = () => {};
            captureClicks(this);
            captureNavigations(this);
            captureViews(this);
        }
    }

    #record(type: string, properties: More): void {
        if (this.#mayRecord) {
            this.#queue?.({time: now(), type, properties});
        }
    }
}
