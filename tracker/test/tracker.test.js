// The built module, with a browser's parts as far as it uses them; tests/test_tracker.py has a browser.
import assert from 'node:assert/strict';
import {beforeEach, mock, test} from 'node:test';
import {LogStore} from '../../logs/static/logs/tracker.mjs';

const URL_OF_STORE = 'https://logs.example.com/logs/';
const START = Date.parse('2018-10-19T03:37:28Z');
const settle = () => new Promise((resolve) => setImmediate(resolve));

let requests, beacons, answer;

beforeEach(() => {
    mock.timers.reset();
    mock.timers.enable({apis: ['setTimeout', 'Date'], now: START});
    requests = [];
    beacons = [];
    answer = () => new Response('{}');
    const window = new EventTarget();
    globalThis.addEventListener = window.addEventListener.bind(window);
    globalThis.dispatchEvent = window.dispatchEvent.bind(window);
    globalThis.document = Object.assign(new EventTarget(), {hidden: false});
    globalThis.localStorage = {};
    globalThis.sessionStorage = {};
    globalThis.fetch = async (url, options) => {
        requests.push({url, ...options});
        return answer(requests.length);
    };
    a_browser({});
});

function a_browser(signals) {
    const sendBeacon = (url, body) => beacons.push({url, body}) > 0;
    Object.defineProperty(globalThis, 'navigator', {
        value: {onLine: true, sendBeacon, ...signals}, configurable: true,
    });
}

const a_tracker = (options) => new LogStore({url: URL_OF_STORE, key: 'ls_ingest', userId: 'u', ...options});

async function after(milliseconds) {
    mock.timers.tick(milliseconds);
    for (let turn = 0; turn < 5; turn++) {
        await settle();
    }
}

const actionsOf = ({body}) => JSON.parse(body).flatMap((log) => log.actions);
const idOf = ({properties}) => properties.viewedId;
const keyOf = (request) => request.headers['Idempotency-Key'];
const entries = () => Object.values(localStorage);

function hide(hidden) {
    document.hidden = hidden;
    document.dispatchEvent(new Event('visibilitychange'));
}

test('actions are gathered and sent as the store expects them', async () => {
    const store = a_tracker();
    await after(0);
    store.click(52, 0, {button: 'buy'});
    store.view('FDJKLHSLD');
    store.navigate('communities', 'inventory');
    await after(4_999);
    assert.equal(requests.length, 0);
    await after(1);
    assert.equal(requests.length, 1);
    const [request] = requests;
    assert.equal(request.url, URL_OF_STORE);
    assert.equal(request.keepalive, true);
    assert.equal(request.headers.Authorization, 'Bearer ls_ingest');
    const [{sessionId, ...log}] = JSON.parse(request.body);
    const time = '2018-10-18T21:37:28-06:00';
    assert.deepEqual(log, {userId: 'u', actions: [
        {time, type: 'CLICK', properties: {button: 'buy', locationX: 52, locationY: 0}},
        {time, type: 'VIEW', properties: {viewedId: 'FDJKLHSLD'}},
        {time, type: 'NAVIGATE', properties: {pageFrom: 'communities', pageTo: 'inventory'}},
    ]});
    assert.deepEqual(Object.values(sessionStorage), [sessionId]);
    assert.deepEqual(entries(), []);
});

test('what the store would refuse is not sent, or mended', async () => {
    const store = a_tracker();
    store.click(NaN, 1);
    store.click(1, 1e300);
    store.view('');
    store.navigate('', '/to');
    store.view('huge', {text: 'x'.repeat(33_000)});
    store.view('😀'.repeat(3_000));
    store.view('nul \0, half \ud83d, whole 😀, \\u0000 as text', {'\udc00': 1});
    await after(0);
    assert.deepEqual(actionsOf(requests[0]).map((action) => action.properties), [
        {viewedId: '😀'.repeat(2_048)},
        {'\ufffd': 1, viewedId: 'nul \ufffd, half \ufffd, whole 😀, \\u0000 as text'},
    ]);
});

test('a batch stays under 60 KB of UTF-8, and none of its actions is lost', async () => {
    const store = a_tracker();
    for (let n = 0; n < 300; n++) {
        store.view(`${n} ${'é'.repeat(500)}`);
        mock.timers.setTime(START + n);
    }
    await after(5_000);
    await after(5_000);
    assert(requests.length > 4);
    assert(requests.every(({body}) => Buffer.byteLength(body) < 60_000));
    assert.deepEqual(requests.flatMap(actionsOf).map(({properties}) => parseInt(properties.viewedId)),
        Array.from({length: 300}, (_, n) => n));
    assert.equal(new Set(requests.map(keyOf)).size, requests.length);
});

for (const [name, failing] of [
    ['a network error', () => Promise.reject(new TypeError('Failed to fetch'))],
    ['500', () => new Response('', {status: 500})],
    ['503', () => new Response('', {status: 503})],
]) {
    test(`after ${name} the same bytes go again under the same key, more and more seldom`, async () => {
        const store = a_tracker();
        store.view('one');
        answer = (count) => (count < 5 ? failing() : new Response('{}'));
        await after(1);
        store.view('two');
        const waits = [];
        for (let waited = 0; requests.length < 6 && waits.length < 600; waited += 100) {
            const before = requests.length;
            await after(100);
            if (requests.length > before) {
                waits.push(waited);
                waited = 0;
            }
        }
        assert.equal(requests.length, 6);
        assert.equal(new Set(requests.slice(0, 5).map(keyOf)).size, 1);
        assert.equal(new Set(requests.slice(0, 5).map(({body}) => body)).size, 1);
        assert.notEqual(keyOf(requests[5]), keyOf(requests[0]));
        assert.deepEqual(requests.slice(4).flatMap(actionsOf).map(idOf), ['one', 'two']);
        assert(waits[0] >= 900 && waits[0] <= 2_000, String(waits));
        assert(waits[3] >= 7_900 && waits[3] <= 16_000, String(waits));
        assert.deepEqual(entries(), []);
    });
}

test('429 waits for as long as the store says, even when the network comes back', async () => {
    const store = a_tracker();
    answer = (count) => (count < 2 ? new Response('', {status: 429, headers: {'Retry-After': '100'}}) : new Response('{}'));
    store.view('one');
    await after(0);
    await after(99_000);
    dispatchEvent(new Event('online'));
    await after(900);
    assert.equal(requests.length, 1);
    await after(5_000);
    assert.equal(requests.length, 2);
});

test('after a network error the network coming back is enough', async () => {
    const store = a_tracker();
    answer = (count) => (count < 2 ? Promise.reject(new TypeError('Failed to fetch')) : new Response('{}'));
    store.view('one');
    await after(0);
    dispatchEvent(new Event('online'));
    await after(0);
    assert.equal(requests.length, 2);
});

test('a refused batch is told of and dropped', async () => {
    const refusals = [];
    answer = () => new Response('{"code": "INVALID_API_KEY"}', {status: 401});
    const store = a_tracker({onError: (...refusal) => refusals.push(refusal)});
    store.view('one');
    await after(0);
    await after(1_000_000);
    assert.equal(requests.length, 1);
    assert.deepEqual(refusals, [[401, '{"code": "INVALID_API_KEY"}']]);
    assert.deepEqual(entries(), []);
});

test('a hidden page sends a beacon once, and the same batch again when it is visible', async () => {
    const store = a_tracker();
    await after(0);
    store.view('one');
    dispatchEvent(new Event('pagehide'));
    hide(true);
    assert.equal(beacons.length, 1);
    const query = new URL(beacons[0].url).searchParams;
    assert.equal(query.get('key'), 'ls_ingest');
    assert.equal(requests.length, 0);
    hide(false);
    await after(0);
    assert.equal(requests.length, 1);
    assert.equal(requests[0].body, beacons[0].body);
    assert.equal(keyOf(requests[0]), query.get('idempotencyKey'));
    assert.deepEqual(entries(), []);
});

test('the next page sends what an earlier one left, but no beacon whose key the store may have forgotten', async () => {
    a_tracker().view('a beacon');
    dispatchEvent(new Event('pagehide'));
    a_browser({onLine: false});
    a_tracker().view('left');
    mock.timers.setTime(START + 90_000_000);
    mock.timers.reset();
    mock.timers.enable({apis: ['setTimeout', 'Date'], now: START + 90_000_000});
    a_tracker();
    await after(0);
    assert.deepEqual(requests.flatMap(actionsOf).map(idOf), ['left']);
    assert.deepEqual(entries(), []);
});

test('an open batch of another page is left alone until it is orphaned', async () => {
    const other = a_tracker();
    await after(0);
    other.view('other');
    const [entry] = entries();
    mock.timers.reset();
    mock.timers.enable({apis: ['setTimeout', 'Date'], now: START + 50_000});
    const store = a_tracker();
    await after(0);
    assert.deepEqual(entries(), [entry]);
    store.view('own');
    await after(5_000);
    assert.deepEqual(requests.flatMap(actionsOf).map(idOf), ['own']);
    store.view('more');
    await after(5_000);
    await after(5_000);
    assert.deepEqual(requests.flatMap(actionsOf).map(idOf), ['own', 'other', 'more']);
    // Its owner, which lives after all, opens another batch.
    other.view('alive');
    assert.deepEqual(entries().flatMap((body) => actionsOf({body})).map(idOf), ['alive']);
});

test('a full queue drops the oldest', async () => {
    answer = () => Promise.reject(new TypeError('Failed to fetch'));
    const store = a_tracker();
    for (let n = 0; n < 300; n++) {
        mock.timers.setTime(START + n);
        store.view(String(n), {text: 'x'.repeat(30_000)});
    }
    const size = entries().reduce((sum, entry) => sum + entry.length, 0);
    assert(size < 2_100_000 && size > 1_500_000, String(size));
    assert(entries().some((entry) => entry.includes('"299"')));
    assert(!entries().some((entry) => entry.includes('"0"')));
});

for (const [name, storage] of [
    ['is turned off', undefined],
    ['is full', new Proxy({}, {set: () => { throw new DOMException('', 'QuotaExceededError'); }})],
]) {
    test(`where localStorage ${name}, actions wait in memory`, async () => {
        if (storage) {
            globalThis.localStorage = storage;
        } else {
            Object.defineProperty(globalThis, 'localStorage', {
                get: () => { throw new DOMException('', 'SecurityError'); }, configurable: true,
            });
        }
        try {
            const store = a_tracker();
            await after(0);
            store.view('one');
            store.view('two');
            await after(5_000);
        } finally {
            Object.defineProperty(globalThis, 'localStorage', {value: {}, configurable: true, writable: true});
        }
        assert.deepEqual(requests.flatMap(actionsOf).map(idOf), ['one', 'two']);
    });
}

for (const signals of [{globalPrivacyControl: true}, {doNotTrack: '1'}]) {
    test(`${Object.keys(signals)} is honoured unless told otherwise`, async () => {
        a_browser(signals);
        const store = a_tracker();
        store.autocapture();
        store.view('one');
        await after(10_000);
        assert.deepEqual([requests.length, entries().length, Object.keys(sessionStorage).length], [0, 0, 0]);
        a_tracker({ignorePrivacySignals: true}).view('one');
        await after(10_000);
        assert.equal(requests.length, 1);
    });
}

test('without a user nothing is recorded', async () => {
    const store = a_tracker({userId: ''});
    store.autocapture();
    store.view('one');
    await after(10_000);
    assert.deepEqual([requests.length, entries().length], [0, 0]);
});
