// Calls the running function with types generated from openapi.yaml: node main.js URL TOKEN
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [baseUrl, token] = process.argv.slice(2);
assert(baseUrl && token, "usage: node main.js URL TOKEN");
const route = "/functions/v1/list-chat-sessions";
const client = createClient<paths>({ baseUrl });
const headers = { Authorization: `Bearer ${token}` };

// A filter is a complete request: no other field is required.
const filtered = await client.POST(route, { headers, body: { status: "active" } });
const page: components["schemas"]["Page"] | undefined = filtered.data;
assert(page, JSON.stringify(filtered.error));
assert(page.sessions.length > 0);
for (const session of page.sessions) {
  assert.equal(session.status, "active");
  const messages: number = session.message_count;
  const name: string | null = session.visitor_name;
  assert(messages >= 0 && name !== undefined);
}

const total = await client.POST(route, { headers, body: { limit: 0, offset: null, status: null } });
assert.deepEqual(total.data?.sessions, []);
assert(total.data.total >= page.total);

const unauthorized = await client.POST(route, { headers: { Authorization: "Bearer unknown" }, body: {} });
const code: components["schemas"]["ErrorDetail"]["code"] | undefined = unauthorized.error?.error.code;
assert.equal(code, "unauthorized");
console.log(`TypeScript: ${page.sessions.length} active sessions of ${total.data.total}`);
