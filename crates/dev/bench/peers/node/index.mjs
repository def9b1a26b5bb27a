// list-chat-sessions as a Node function on `pg` and the AWS SDK, with the same SQL and the same responses as ours for
// the measured requests. `cargo dev bench` puts the SQL next to this file and runs it under a Lambda Runtime API.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import { dirname, join } from "node:path";
import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import pg from "pg";

const TIMESTAMPTZ = 1184;
const INT8 = 20;
/** See src/sessions/statement.rs. */
const DEEP_OFFSET = 1000;
const DEFAULT_LIMIT = 50;

// `Date` has no microseconds, so times stay text, which PostgreSQL writes in UTC: 2024-01-15 10:45:00.5+00
pg.types.setTypeParser(TIMESTAMPTZ, (text) => text.replace(" ", "T").replace("+00", "Z"));
pg.types.setTypeParser(INT8, Number);

const folder = dirname(process.argv[1]);
/** Returns our statement without filters. */
const sql = (name) =>
  readFileSync(join(folder, name), "utf8").split(";\n")[0].replace(/LIMIT \d+ OFFSET \d+/, "LIMIT $2 OFFSET $3");
const [FIRST_PAGE, PAGE, DEEP_PAGE] = [sql("first_page.sql"), sql("page.sql"), sql("deep_page.sql")];

async function init() {
  const manager = new SecretsManagerClient({});
  const secret = async (id) => JSON.parse((await manager.send(new GetSecretValueCommand({ SecretId: id }))).SecretString);
  const [ring, login] = await Promise.all([
    secret(process.env.API_KEYS_SECRET_ID),
    secret(process.env.DATABASE_SECRET_ID),
  ]);
  const pool = new pg.Pool({
    max: 1,
    host: login.host,
    port: login.port,
    database: login.dbname,
    user: login.username,
    password: login.password,
    ssl: { ca: login.sslrootcert },
    options: "-c TimeZone=UTC",
  });
  return { keys: new Map(ring.api_keys.map((key) => [key.key_hash, key])), pool };
}

const respond = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json", "cache-control": "no-store", "access-control-allow-origin": "*" },
  body: JSON.stringify(body),
  isBase64Encoded: false,
});

async function handle({ keys, pool }, event) {
  const token = /^bearer +(\S+)$/i.exec(event.headers.authorization ?? "")?.[1] ?? "";
  const key = keys.get(createHash("sha256").update(token).digest("hex"));
  if (!key || key.is_active === false || (key.expires_at && Date.parse(key.expires_at) <= Date.now())) {
    return respond(401, { error: { code: "unauthorized", message: "Unauthorized" } });
  }
  const text = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
  const { limit = DEFAULT_LIMIT, offset = 0, widget_id, status, from_date } = JSON.parse(text || "{}");
  const values = [key.user_id, limit, offset];
  let filters = "";
  for (const [condition, value] of [["widget_id =", widget_id], ["status =", status], ["created_at >=", from_date]]) {
    if (value) filters += ` AND ${condition} $${values.push(value)}`;
  }
  const statement = offset === 0 ? FIRST_PAGE : offset < DEEP_OFFSET ? PAGE : DEEP_PAGE;
  const { rows } = await pool.query({ text: statement.replaceAll("user_id = $1", () => `user_id = $1${filters}`), values });
  const total = rows[0]?.total ?? 0;
  for (const row of rows) delete row.total;
  return respond(200, { sessions: rows, total });
}

// The Runtime API: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, host, port, method, path: `/2018-06-01/runtime/${path}` }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks) }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function main() {
  const app = await init();
  for (;;) {
    const { headers, body } = await call("GET", "invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    try {
      await call("POST", `invocation/${id}/response`, JSON.stringify(await handle(app, JSON.parse(body))));
    } catch (error) {
      const failure = JSON.stringify({ errorType: error.name, errorMessage: error.message });
      await call("POST", `invocation/${id}/error`, failure);
    }
  }
}

main();
