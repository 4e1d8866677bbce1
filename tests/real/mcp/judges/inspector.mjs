// MCP Inspector's command line, with a key, in all its eras.
import { inspector, judge, node, run } from "./programs.mjs";

const ENDPOINTS = [
  { path: "/mcp", prefix: "fixture__" },
  { path: "/mcp/fixture", prefix: "" },
];
const TEXT = "This is a simple text response for testing.";

async function inspect(path, args, key = process.env.CALLER_KEY) {
  const header = key ? ["--header", `Authorization: Bearer ${key}`] : [];
  const options = ["--transport", "http", ...header, "--format", "json", "-q", "--stored-auth-only"];
  return run(node, [inspector, "--cli", process.env.KEYED_URL + path, ...options, ...args]);
}

function result({ out }) {
  try {
    return JSON.parse(out).result ?? {};
  } catch {
    return {};
  }
}

for (const { path, prefix } of ENDPOINTS) {
  for (const era of ["legacy", "auto", "modern"]) {
    const where = `${path} (${era})`;
    const list = await inspect(path, ["--protocol-era", era, "--method", "tools/list", "--strict"]);
    const names = (result(list).tools ?? []).map((tool) => tool.name);
    const isWhole = names.includes(`${prefix}test_simple_text`) && names.every((name) => name.startsWith(prefix));
    judge(`${where}: tools/list`, list.code === 0 && isWhole, list.out + list.err);
    judge(`${where}: --strict has nothing to say`, !/error|warning/i.test(list.err), list.err);
    const args = ["--method", "tools/call", "--tool-name", `${prefix}test_simple_text`, "--tool-args-json", "{}"];
    const call = await inspect(path, ["--protocol-era", era, ...args]);
    judge(`${where}: tools/call`, call.code === 0 && result(call).content?.[0]?.text === TEXT, call.out + call.err);
  }
}

const unknown = await inspect("/mcp", ["--method", "tools/call", "--tool-name", "nothing", "--tool-args-json", "{}"]);
judge("an unknown tool is not found", unknown.code === 5, unknown.out + unknown.err);
const stranger = await inspect("/mcp", ["--method", "tools/list"], "");
judge("without a key, a key is asked for", stranger.code === 3, stranger.out + stranger.err);
