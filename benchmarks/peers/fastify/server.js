// The routes of the store as a careful build with Fastify, JSON schemas and pg: a peer to measure the store against.
//
// It keeps the contract's rules for what may be stored and its form of an answer; it has no keys, idempotency, ETag or
// streaming, and its errors are Fastify's own. DATABASE_URL is a database with the tables of ../schema.sql; PORT and
// PROCESSES say where it listens and how many serve.

import cluster from "node:cluster";
import Fastify from "fastify";
import pg from "pg";

const MAX_PROPERTIES_BYTES = 32 * 1024;
const TYPES = ["CLICK", "VIEW", "NAVIGATE"];
const TIME =
  "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]-06:00$";

const identifier = { type: "string", minLength: 1, maxLength: 255, pattern: "^[^\\u0000]+$" };
const text = { type: "string", minLength: 1, maxLength: 2048 };
const location = { type: "number", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER };
const time = { type: "string", pattern: TIME };

const object = (properties) => ({ type: "object", required: Object.keys(properties), properties });
const action = (type, properties) => object({ time, type: { const: type }, properties: object(properties) });

const batchSchema = {
  type: "array",
  minItems: 1,
  items: object({
    userId: identifier,
    sessionId: identifier,
    actions: {
      type: "array",
      minItems: 1,
      items: {
        type: "object",
        required: ["type"],
        discriminator: { propertyName: "type" },
        oneOf: [
          action("CLICK", { locationX: location, locationY: location }),
          action("VIEW", { viewedId: text }),
          action("NAVIGATE", { pageFrom: text, pageTo: text }),
        ],
      },
    },
  }),
};
const querySchema = {
  type: "object",
  required: ["userId"],
  properties: { userId: identifier, from: time, to: time, types: { type: ["string", "array"] } },
};
const answerSchema = {
  200: object({ success: { type: "boolean" }, stored: { type: "integer" }, duplicates: { type: "integer" } }),
};

// In the order of the batch, in which their ids are dealt.
const upsert = {
  name: "upsert",
  text: `INSERT INTO log (user_id, session_id) SELECT * FROM unnest($1::text[], $2::text[])
    ON CONFLICT (user_id, session_id) DO UPDATE SET session_id = EXCLUDED.session_id RETURNING id`,
};
const insert = {
  name: "insert",
  text: `INSERT INTO action (log_id, time, type, properties)
    SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::jsonb[])`,
};

// PostgreSQL writes times in the zone of the wire, 2018-10-18 21:37:28-06, and properties stay the text that they are.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (value) => `${value.replace(" ", "T")}:00`);
pg.types.setTypeParser(pg.types.builtins.JSONB, (value) => value);
const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  options: "-c TimeZone=Etc/GMT+6",
  max: 8,
  idleTimeoutMillis: 0,
});

const refusal = (message) => Object.assign(new Error(message), { statusCode: 400 });

function checkDate(value) {
  const [year, month, day] = [value.slice(0, 4), value.slice(5, 7), value.slice(8, 10)].map(Number);
  // Day 0 of the next month is the last one of this. Years below 100 need four digits: they are leap as those 400 later.
  if (day > 28 && day > new Date(Date.UTC(year + 400, month, 0)).getUTCDate()) throw refusal("no such day");
}

function readBatch(logs) {
  const batch = new Map();
  let count = 0;
  for (const { userId, sessionId, actions } of logs) {
    if (!userId.isWellFormed() || !sessionId.isWellFormed()) throw refusal("a lone surrogate");
    const key = JSON.stringify([userId, sessionId]);
    let log = batch.get(key);
    if (!log) batch.set(key, (log = { userId, sessionId, rows: [] }));
    for (const { time, type, properties } of actions) {
      checkDate(time);
      const json = JSON.stringify(properties);
      if (json.length > MAX_PROPERTIES_BYTES / 4 && Buffer.byteLength(json) > MAX_PROPERTIES_BYTES)
        throw refusal("properties is too large");
      log.rows.push([time, type, json]);
    }
    count += actions.length;
  }
  return { logs: [...batch.values()], count };
}

async function append(logs, attempts = 3) {
  const client = await pool.connect();
  let broken;
  try {
    await client.query("BEGIN");
    const ids = await client.query({ ...upsert, values: [logs.map((log) => log.userId), logs.map((log) => log.sessionId)] });
    const columns = [[], [], [], []];
    logs.forEach(({ rows }, index) => {
      for (const [time, type, json] of rows) {
        columns[0].push(ids.rows[index].id);
        columns[1].push(time);
        columns[2].push(type);
        columns[3].push(json);
      }
    });
    await client.query({ ...insert, values: columns });
    await client.query("COMMIT");
    return;
  } catch (error) {
    await client.query("ROLLBACK").catch((failure) => (broken = failure));
    // What only PostgreSQL notices, such as U+0000 in a property.
    if (error.code?.startsWith("22")) throw refusal(error.message);
    // 40P01: two batches named the same logs in another order.
    if (error.code !== "40P01" || attempts === 1) throw error;
  } finally {
    client.release(broken);
  }
  await append(logs, attempts - 1);
}

async function read({ userId, from, to, types }) {
  const chosen = [types ?? []].flat().join(",").split(",").filter(Boolean);
  if (!chosen.every((name) => TYPES.includes(name))) throw refusal("types: CLICK, VIEW or NAVIGATE");
  const [conditions, values] = [["l.user_id = $1"], [userId]];
  for (const value of [from, to]) if (value) checkDate(value);
  if (from) conditions.push(`a.time >= $${values.push(from)}`);
  if (to) conditions.push(`a.time <= $${values.push(to)}`);
  if (chosen.length) conditions.push(`a.type = ANY ($${values.push(chosen)})`);
  const result = await pool.query({
    name: `read ${conditions}`,
    text: `SELECT l.id, l.session_id, a.time, a.type, a.properties FROM log l JOIN action a ON a.log_id = l.id
      WHERE ${conditions.join(" AND ")} ORDER BY l.id, a.time, a.id`,
    values,
    rowMode: "array",
  });
  const [logs, user] = [[], JSON.stringify(userId)];
  let [last, actions] = [];
  for (const [id, session, time, type, properties] of result.rows) {
    if (id !== last) logs.push({ session, actions: (actions = []) });
    last = id;
    actions.push(`{"time":"${time}","type":"${type}","properties":${properties}}`);
  }
  const texts = logs.map((log) => `{"userId":${user},"sessionId":${JSON.stringify(log.session)},"actions":[${log.actions}]}`);
  return `[${texts}]`;
}

const app = Fastify({
  bodyLimit: 20 * 1024 * 1024,
  routerOptions: { ignoreTrailingSlash: true },
  ajv: { customOptions: { coerceTypes: false, removeAdditional: false, discriminator: true, allowUnionTypes: true } },
});
app.post("/logs/", { schema: { body: batchSchema, response: answerSchema } }, async (request) => {
  const { logs, count } = readBatch(request.body);
  await append(logs);
  return { success: true, stored: count, duplicates: 0 };
});
app.get("/logs/", { schema: { querystring: querySchema } }, async (request, reply) => {
  reply.type("application/json; charset=utf-8");
  return read(request.query);
});

if (cluster.isPrimary) {
  for (let count = 0; count < Number(process.env.PROCESSES); count++) cluster.fork();
} else {
  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}
