// What a client must see of each scenario, whatever the dialect: scenarios.json cut into the client's own requests.
//
// The gateway answers a request with one message, made of all rounds up to the one that the client has to act on. Such
// a run of rounds is a "leg" here; scenarios without client tools have one leg.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

const text = readFileSync(new URL("../scenarios.json", import.meta.url), "utf8");
const document = JSON.parse(text.replaceAll("{files}", process.env.REAL_FILES));

export const GATEWAY = process.env.GATEWAY_URL;
export const CALLERS_KEY = "the-callers-own-key";

/** The scenarios of a dialect, in the file's order. */
export function scenarios(dialect) {
  return Object.entries(document.scenarios)
    .filter(([, entry]) => (entry.dialects ?? [dialect]).includes(dialect))
    .map(([name, entry]) => scenario(name, entry));
}

function scenario(name, entry) {
  const tools = entry.client_tools ? document.client_tools : {};
  const legs = [];
  let rounds = [];
  entry.rounds.forEach((round, index) => {
    rounds.push({ number: index + 1, calls: [], ...round, usage: document.usage[index] });
    const last = rounds.at(-1);
    if (last.calls.length === 0 || last.calls.some((call) => call.tool in tools)) {
      legs.push(leg(rounds));
      rounds = [];
    }
  });
  return {
    name,
    model: `${name}-2026-11-01`,
    tools,
    thinking: entry.thinking ?? false,
    results: entry.results ?? [],
    legs,
  };
}

function leg(rounds) {
  const total = (kind) => rounds.reduce((sum, round) => sum + round.usage[kind], 0);
  const last = rounds.at(-1);
  return {
    rounds,
    first: rounds[0].number,
    texts: rounds.flatMap((round) => round.text ?? []),
    // The client's own calls, which end the leg.
    calls: last.calls
      .map((call, index) => ({ place: `r${last.number}_${index}`, ...call }))
      .filter((call) => !call.hidden),
    total,
    // Input as OpenAI counts it: the cached part included.
    promptTokens: total("input") + total("cache_read") + total("cache_write"),
  };
}

/** A name for one conversation, which the provider puts into all its ids. */
export const newCase = () => randomUUID().replaceAll("-", "").slice(0, 12);

export const prompt = (name) => `Please handle case:${name}, thank you.`;

/** Checks what the tools' results looked like when they reached the model; returns the provider's requests. */
export async function providerSaw(name, scenario) {
  const page = await (await fetch(`${process.env.PROVIDER_URL}/_case/${name}`)).json();
  assert.deepEqual(page.violations, []);
  const rounds = scenario.legs.flatMap((leg) => leg.rounds);
  assert.deepEqual(page.requests.map((request) => request.round), rounds.map((round) => round.number));
  const seen = page.requests.at(-1).results;
  const sizes = (results) => results.map((group) => group.length);
  assert.deepEqual(sizes(seen), sizes(scenario.results), "one result for each call");
  scenario.results.forEach((group, round) =>
    group.forEach((expected, index) => checkResult(seen[round][index], expected, index)));
  const [first, ...others] = page.requests.map((request) => request.body.tools);
  for (const tools of others) assert.deepEqual(tools, first, "the tools are a cached prefix: they never change");
  return page.requests;
}

function checkResult(result, expected, index) {
  assert.ok(result.id.endsWith(`_${index}`), "in the calls' order");
  assert.ok(result.text.includes(expected.contains), result.text);
  if (result.error !== null) assert.equal(result.error, expected.error ?? false, result.text);
  if (expected.error) assert.notEqual(result.text.trim(), "", "an error says what is wrong");
  assert.ok(!result.text.includes("iVBORw0KGgo"), "no picture travels as text");
  if (expected.image) assert.deepEqual(result.images, [expected.image]);
}

/** The client's own tools come first; the choice is taken away at the round cap only. */
export function checkTools(requests, scenario, { nameOf, choiceOf }) {
  const mine = Object.keys(scenario.tools);
  const names = requests[0].body.tools.map(nameOf);
  assert.deepEqual(names.slice(0, mine.length), mine);
  assert.ok(names.slice(mine.length).includes("everything__echo"));
  const choices = requests.map((request) => choiceOf(request.body) ?? "auto");
  const last = scenario.name === "round-cap" ? "none" : "auto";
  assert.deepEqual(choices, [...choices.slice(1).map(() => "auto"), last]);
}
