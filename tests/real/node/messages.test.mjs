// Anthropic Messages through the official SDK: one message, whatever number of rounds made it.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { CALLERS_KEY, GATEWAY, checkTools, newCase, prompt, providerSaw, scenarios } from "./expected.mjs";

const client = new Anthropic({ baseURL: GATEWAY, apiKey: CALLERS_KEY, maxRetries: 0 });

for (const surface of ["stable", "beta"]) {
  for (const mode of ["streamed", "whole"]) {
    for (const scenario of scenarios("messages")) {
      test(`messages ${surface} ${mode}: ${scenario.name}`, () => play(scenario, mode, surface));
    }
  }
}

async function play(scenario, mode, surface) {
  const api = surface === "stable" ? client.messages : client.beta.messages;
  const name = newCase();
  const history = [{ role: "user", content: prompt(name) }];
  for (const leg of scenario.legs) {
    const message = await ask(api, mode, scenario, history);
    check(message, scenario, leg, name);
    checkUsage(message.usage, leg, mode, surface);
    history.push({ role: "assistant", content: message.content }, resultsOf(message));
  }
  checkTools(await providerSaw(name, scenario), scenario, {
    nameOf: (tool) => tool.name,
    choiceOf: (body) => body.tool_choice?.type,
  });
}

async function ask(api, mode, scenario, history) {
  const tools = Object.entries(scenario.tools).map(([name, tool]) => ({
    name, description: tool.description, input_schema: tool.schema,
  }));
  const request = {
    model: scenario.name,
    max_tokens: 4000,
    messages: [...history],
    ...(tools.length > 0 && { tools }),
    ...(scenario.thinking && { thinking: { type: "enabled", budget_tokens: 2000 } }),
  };
  if (mode === "whole") return api.create(request);
  const stream = api.stream(request);
  const events = [];
  stream.on("streamEvent", (event) => events.push(event));
  const message = await stream.finalMessage();
  checkEvents(events);
  return message;
}

/** Blocks start and stop in dense order, one at a time, inside one message. */
function checkEvents(events) {
  const of = (type) => events.filter((event) => event.type === type);
  for (const type of ["message_start", "message_delta", "message_stop"]) assert.equal(of(type).length, 1, type);
  const indices = of("content_block_start").map((event) => event.index);
  assert.deepEqual(indices, [...indices.keys()]);
  let open = null;
  for (const event of events) {
    if (event.type === "content_block_start") open = event.index;
    if (event.type.startsWith("content_block")) assert.equal(event.index, open);
  }
}

function check(message, scenario, leg, name) {
  assert.equal(message.id, `msg_${name}_r${leg.first}`);
  assert.deepEqual([message.type, message.role, message.model], ["message", "assistant", scenario.model]);
  assert.equal(message.stop_reason, leg.calls.length > 0 ? "tool_use" : "end_turn");
  assert.equal(message.stop_sequence, null);
  assert.deepEqual(message.content.map(plain), blocksOf(leg, name));
}

const plain = (block) =>
  Object.fromEntries(["type", "thinking", "signature", "text", "id", "name", "input"]
    .filter((field) => block[field] != null)
    .map((field) => [field, block[field]]));

function blocksOf(leg, name) {
  const blocks = [];
  for (const { number, thinking, text } of leg.rounds) {
    if (thinking) blocks.push({ type: "thinking", thinking, signature: `sig_${name}_r${number}/Aa+==` });
    if (text) blocks.push({ type: "text", text });
  }
  for (const { place, tool, arguments: input } of leg.calls) {
    blocks.push({ type: "tool_use", id: `toolu_${name}_${place}`, name: tool, input });
  }
  return blocks;
}

/** Sums at the top, and one entry a round where there were several. */
function checkUsage(usage, leg, mode, surface) {
  const counts = (of) => [
    of.input_tokens, of.cache_read_input_tokens, of.cache_creation_input_tokens, of.output_tokens];
  const kinds = ["input", "cache_read", "cache_write", "output"];
  assert.deepEqual(counts(usage), kinds.map(leg.total));
  assert.equal(usage.output_tokens_details.thinking_tokens, leg.total("reasoning"));
  if (mode === "whole") {
    assert.equal(usage.cache_creation.ephemeral_5m_input_tokens, leg.total("cache_write"));
  }
  if (mode === "streamed" && surface === "stable") return; // the stable helper drops `iterations`
  assert.deepEqual(
    (usage.iterations ?? []).map((entry) => [entry.type, ...counts(entry)]),
    leg.rounds.length === 1 ? [] : leg.rounds.map((round) => ["message", ...kinds.map((kind) => round.usage[kind])]));
}

const resultsOf = (message) => ({
  role: "user",
  content: message.content
    .filter((block) => block.type === "tool_use")
    .map((call, index) => ({ type: "tool_result", tool_use_id: call.id, content: `client result ${index}` })),
});
