// Calls this function and others at one base URL, without other packages: node main.mjs URL TOKEN
// tests/api/upstream.rs starts both hosts; crates/testkit/src/upstream_stub.rs has the responses.
import assert from "node:assert/strict";

const [baseUrl, token] = process.argv.slice(2);
assert(baseUrl && token, "usage: node main.mjs URL TOKEN");

function call(name, body, method = "POST") {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  return fetch(`${baseUrl}/functions/v1/${name}`, { method, headers, body: body && JSON.stringify(body) });
}

const listed = await call("list-chat-sessions", { limit: 10 });
assert.equal(listed.status, 200);
const page = await listed.json();
assert.equal(page.sessions.length, 1);

const agents = await call("list-agents", {});
assert.deepEqual(await agents.json(), { agents: [] });
assert.deepEqual(agents.headers.getSetCookie(), ["a=1; Path=/", "b=2; Path=/"]);

const error = await call("update-agent", { name: "" });
assert.equal(error.status, 422);
assert.equal(error.headers.get("retry-after"), "7");
assert.deepEqual(await error.json(), { error: "name is required" });

const recording = new Uint8Array(await (await call("get-recording", undefined, "GET")).arrayBuffer());
assert.deepEqual(recording, Uint8Array.from({ length: 256 }, (_, byte) => byte));

const deleted = await call("delete-agent", { id: 1 }, "DELETE");
assert.equal(deleted.status, 204);
assert.equal(await deleted.text(), "");

const slow = await call("slow", {});
assert.equal(slow.status, 503);
assert.deepEqual(await slow.json(), { message: "Service Unavailable" });

// A slow function of the upstream does not affect this one.
assert.equal((await call("list-chat-sessions", undefined, "OPTIONS")).status, 200);
console.log(`Node: ${page.sessions.length} session, and 5 functions of the upstream`);
