// The conformance suite's server scenarios: what the fixture passes directly it must pass behind the gateway.
import { conformance, judge, node, run } from "./programs.mjs";

const local = (url) => url.replace("127.0.0.1", "localhost");
const direct = local(process.env.FIXTURE_URL);
const gateway = local(process.env.OPEN_URL);

// What of each revision is required, and how many scenarios that is at least. A session's own connection is what the
// older revision needs for all that a server asks its client.
const REVISIONS = [
  { requirements: "2025-11-25", path: "/mcp/own", atLeast: 30 },
  { requirements: "2026-07-28", path: "/mcp/shared", atLeast: 40 },
];

// The verdict on each scenario of a revision.
async function scenarios(url, requirements) {
  const { code, out, err } = await run(node, [conformance, "server", "--url", url, "--requirements", requirements]);
  const verdicts = new Map();
  for (const [, mark, name] of out.matchAll(/^([✓✗]) ([\w-]+): \d+ passed, \d+ failed/gm)) verdicts.set(name, mark === "✓");
  return { code, verdicts, said: `${out.slice(-4000)}\n${err.slice(-1000)}` };
}

for (const { requirements, path, atLeast } of REVISIONS) {
  const alone = await scenarios(direct, requirements);
  const behind = await scenarios(gateway + path, requirements);
  const passes = [...alone.verdicts].filter(([, passed]) => passed).map(([name]) => name);
  const lost = passes.filter((name) => !behind.verdicts.get(name));
  judge(`${requirements}: the fixture conforms directly`, alone.code === 0 && passes.length >= atLeast, alone.said);
  judge(`${requirements}: it conforms behind ${path}`, behind.code === 0, behind.said);
  judge(`${requirements}: each of ${passes.length} scenarios passes behind the gateway too`, lost.length === 0, lost.join(" "));
}
