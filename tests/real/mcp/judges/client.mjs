// The conformance suite's client scenarios, one after the other, with a gateway of its own for each.
//
// Left out: `elicitation-sep1034-client-defaults`, which judges what a person's client fills into a form; `auth/*`, where
// somebody goes through an authorization server's pages; `sep-2640-*`, for the gateway does not load skills.
import { join } from "node:path";
import { conformance, judge, node, run } from "./programs.mjs";

const SCENARIOS = [
  ["initialize", "2025-11-25"],
  ["tools_call", "2025-11-25"],
  ["tools_call", "2026-07-28"],
  ["sse-retry", "2025-11-25"],
  ["request-metadata", "2026-07-28"],
  ["http-standard-headers", "2026-07-28"],
  ["http-custom-headers", "2026-07-28"],
  ["http-invalid-tool-headers", "2026-07-28"],
  ["json-schema-ref-no-deref", "2026-07-28"],
  ["json-schema-2020-12-preservation", "2025-11-25"],
  ["json-schema-2020-12-preservation", "2026-07-28"],
  ["sep-2322-client-request-state", "2026-07-28"],
];

const adapter = join(import.meta.dirname, "gateway.mjs");
for (const [scenario, version] of SCENARIOS) {
  const command = `${node} ${adapter}`;
  const options = ["--scenario", scenario, "--spec-version", version, "--timeout", "25000"];
  const { code, out, err } = await run(node, [conformance, "client", "--command", command, ...options]);
  judge(`client ${scenario} (${version})`, code === 0, `${out.slice(-3000)}\n${err.slice(-2000)}`);
}
