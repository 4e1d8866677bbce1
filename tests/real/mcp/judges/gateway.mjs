// The suite's client: a gateway whose only server is the given one, and an MCP client that calls its tools.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const url = process.argv.at(-1);
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const folder = await mkdtemp(join(tmpdir(), "toolgate-client-"));
await mkdir(join(folder, "mcp-servers"));
await writeFile(
  join(folder, "toolgate.yaml"),
  `listen: 127.0.0.1:0
store: sqlite:toolgate.db
auth: none
providers:
  - { name: none, type: openai, base_url: "http://127.0.0.1:9/v1", api_key: "\${PROVIDER_KEY}" }
`,
);
await writeFile(join(folder, "mcp-servers/upstream.yaml"), `name: upstream\ntransport: http\nurl: ${url}\n`);

const gateway = spawn(process.env.TOOLGATE_BIN, ["--log", "warn", "serve", "--config", join(folder, "toolgate.yaml")], {
  stdio: ["ignore", "pipe", "inherit"],
});
const ended = new Promise((resolve) => gateway.on("close", resolve));
const address = await new Promise((resolve, reject) => {
  let out = "";
  gateway.stdout.on("data", (piece) => {
    out += piece;
    const found = out.match(/http:\/\/127\.0\.0\.1:\d+/);
    if (found) resolve(found[0]);
  });
  ended.then(() => reject(new Error("the gateway ended")));
});

const CAPABILITIES = { elicitation: { form: {} }, sampling: {}, roots: {} };
let id = 0;

// One stateless request; `null` where the gateway shows no such server yet.
async function ask(method, params) {
  const version = "2026-07-28";
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": version,
    "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
  };
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": version,
    "mcp-method": method,
    ...(params.name && { "mcp-name": params.name }),
    ...params.headers,
  };
  delete params.headers;
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params: { ...params, _meta } });
  const response = await fetch(`${address}/mcp/upstream`, { method: "POST", headers, body });
  if (response.status === 404) return null;
  const text = await response.text();
  const last = text.startsWith("{") ? text : text.split("\n").findLast((line) => line.startsWith("data:")).slice(5);
  return JSON.parse(last);
}

// The headers that the tool's schema asks for (SEP-2243).
function paramHeaders(tool, args) {
  const headers = {};
  for (const [name, property] of Object.entries(tool?.inputSchema?.properties ?? {})) {
    const value = args[name];
    if (!property["x-mcp-header"] || value === undefined || value === null) continue;
    const plain = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(String(value)) && !String(value).startsWith("=?base64?");
    headers[`mcp-param-${property["x-mcp-header"]}`] = plain
      ? String(value)
      : `=?base64?${Buffer.from(String(value)).toString("base64")}?=`;
  }
  return headers;
}

// Something for each argument that a tool needs; one wants another tool's schema back.
function invented(tool, tools) {
  if (tool.name === "json_schema_echo") return { schema: tools.find((it) => it !== tool).inputSchema };
  const values = { string: "text", number: 1, integer: 1, boolean: true, array: [], object: {} };
  const schema = tool.inputSchema ?? {};
  return Object.fromEntries((schema.required ?? []).map((name) => [name, values[schema.properties?.[name]?.type] ?? 1]));
}

// Answers what a result asks for, as a user would.
async function call(tool, args) {
  let params = { name: tool.name, arguments: args, headers: paramHeaders(tool, args) };
  for (let round = 0; round < 10; round += 1) {
    const { result } = (await ask("tools/call", params)) ?? {};
    if (result?.resultType !== "input_required") return;
    const inputResponses = {};
    for (const key of Object.keys(result.inputRequests ?? {})) {
      inputResponses[key] = { action: "accept", content: { confirmed: true, name: "Alice" } };
    }
    params = { name: tool.name, arguments: args, inputResponses, headers: paramHeaders(tool, args) };
    if (result.requestState !== undefined) params.requestState = result.requestState;
  }
}

try {
  let listed = null;
  for (let tries = 0; listed === null && tries < 40; tries += 1) {
    await sleep(100);
    listed = await ask("tools/list", {});
  }
  const tools = listed?.result?.tools ?? [];
  const calls = context.toolCalls ?? tools.map((tool) => ({ name: tool.name, arguments: invented(tool, tools) }));
  for (const { name, arguments: args } of calls) {
    // The gateway refuses a null that the schema does not allow: what is not there is left out.
    const given = Object.fromEntries(Object.entries(args ?? {}).filter(([, value]) => value !== null));
    await call(tools.find((tool) => tool.name === name) ?? { name }, given);
  }
} finally {
  gateway.kill("SIGINT");
  await ended;
  await rm(folder, { recursive: true, force: true });
}
