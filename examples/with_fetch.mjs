// Store what a user did just now, and read it back page by page, with fetch.
//
//     node examples/with_fetch.mjs
//
// LOGSTORE_URL: where the store is. LOGSTORE_KEY: an API key, where the store asks for one.
import { randomUUID } from "node:crypto";

const url = (process.env.LOGSTORE_URL ?? "http://127.0.0.1:8000") + "/logs/";
const authorization = process.env.LOGSTORE_KEY ? { Authorization: `Bearer ${process.env.LOGSTORE_KEY}` } : {};

// The store's times are those of the zone -06:00: 2018-10-18T21:37:28-06:00.
function wireTime(date) {
  return new Date(date.getTime() - 6 * 3600 * 1000).toISOString().slice(0, 19) + "-06:00";
}

// Stores a batch once, however often it has to be sent.
async function store(logs, attempts = 5) {
  const request = {
    method: "POST",
    headers: { ...authorization, "Content-Type": "application/json", "Idempotency-Key": randomUUID() },
    body: JSON.stringify(logs),
  };
  for (let left = attempts - 1; ; left--) {
    let seconds = 1;
    try {
      const answer = await fetch(url, request);
      const body = await answer.json();
      if (answer.ok) return body;
      // What is wrong, and where: {"code": …, "pointer": "/0/actions/1/time", …}
      if ((answer.status !== 429 && answer.status !== 503) || !left) throw new Error(JSON.stringify(body));
      seconds = Number(answer.headers.get("Retry-After"));
    } catch (error) {
      // fetch fails with a TypeError where no answer came: the batch may have arrived, and is still stored once.
      if (!(error instanceof TypeError) || !left) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

// Yields the logs that a query finds, reading a page at a time.
async function* read(parameters) {
  let page = `${url}?${new URLSearchParams({ limit: 1000, ...parameters })}`;
  while (page) {
    const answer = await fetch(page, { headers: authorization });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.detail);
    yield* body;
    // Link: <http://…>; rel="next"
    page = answer.headers.get("Link")?.match(/<(.+)>; rel="next"/)?.[1];
  }
}

const userId = `fetch-${randomUUID()}`;
const time = wireTime(new Date());
const actions = [
  { time, type: "CLICK", properties: { locationX: 52, locationY: 11 } },
  { time, type: "VIEW", properties: { viewedId: "FDJKLHSLD" } },
];
console.log(JSON.stringify(await store(["1", "2", "3"].map((sessionId) => ({ userId, sessionId, actions })))));
for await (const log of read({ userId, types: "VIEW", limit: 2 })) console.log(JSON.stringify(log));
