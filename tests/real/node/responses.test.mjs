// OpenAI Responses through the official SDK: one response, whatever number of rounds made it.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { CALLERS_KEY, GATEWAY, checkTools, newCase, prompt, providerSaw, scenarios } from "./expected.mjs";

const client = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: CALLERS_KEY, maxRetries: 0 });

for (const state of ["stored", "stateless", "stateless encrypted"]) {
  for (const mode of ["streamed", "whole"]) {
    for (const scenario of scenarios("responses")) {
      if (state === "stateless encrypted" && !scenario.thinking) continue;
      test(`responses ${state} ${mode}: ${scenario.name}`, () => play(scenario, mode, state));
    }
  }
}

async function play(scenario, mode, state) {
  const name = newCase();
  let history = [{ type: "message", role: "user", content: prompt(name) }];
  let previous = null;
  for (const leg of scenario.legs) {
    const response = await ask(mode, state, scenario, history, previous);
    check(response, scenario, leg, name, state, previous);
    checkUsage(response.usage, leg);
    const results = resultsOf(response);
    if (state === "stored") [history, previous] = [results, response.id];
    else history = [...history, ...response.output.map(inputOf), ...results];
  }
  checkTools(await providerSaw(name, scenario), scenario, {
    nameOf: (tool) => tool.name,
    choiceOf: (body) => body.tool_choice,
  });
}

async function ask(mode, state, scenario, history, previous) {
  const tools = Object.entries(scenario.tools).map(([name, tool]) => ({
    type: "function", name, description: tool.description, strict: true, parameters: tool.schema,
  }));
  const request = {
    model: scenario.name,
    input: history,
    store: state === "stored",
    ...(previous && { previous_response_id: previous }),
    ...(state === "stateless encrypted" && { include: ["reasoning.encrypted_content"] }),
    ...(tools.length > 0 && { tools }),
  };
  if (mode === "whole") return client.responses.create(request);
  const stream = client.responses.stream(request);
  const events = [];
  stream.on("event", (event) => events.push(structuredClone(event)));
  const response = await stream.finalResponse();
  checkEvents(events);
  return response;
}

/** One life, rising sequence numbers, dense output indices; the items that end are the final output. */
function checkEvents(events) {
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  const life = events.map((event) => event.type).filter((type) => type.split(".").length === 2);
  assert.deepEqual(life, ["response.created", "response.in_progress", "response.completed"]);
  const added = events.filter((event) => event.type === "response.output_item.added");
  const done = events.filter((event) => event.type === "response.output_item.done");
  for (const found of [added, done]) assert.deepEqual(found.map((event) => event.output_index), [...found.keys()]);
  assert.deepEqual(done.map((event) => event.item.id), events.at(-1).response.output.map((item) => item.id));
}

function check(response, scenario, leg, name, state, previous) {
  assert.equal(response.id, `resp_${name}_r${leg.first}`);
  assert.deepEqual([response.object, response.status, response.model], ["response", "completed", scenario.model]);
  assert.equal(response.created_at, 1793500000 + leg.first);
  assert.deepEqual([response.error, response.incomplete_details], [null, null]);
  assert.deepEqual(response.output.map(plain), itemsOf(leg, name, state));
  assert.equal(response.output_text, leg.texts.join(""));
  // What the response echoes of its request is the client's request.
  assert.deepEqual(response.tools.map((tool) => tool.name), Object.keys(scenario.tools));
  assert.equal(response.tool_choice, "auto");
  assert.equal(response.previous_response_id, previous);
  assert.equal(response.store, state === "stored");
}

const inputOf = ({ parsed_arguments, ...item }) => ({
  ...item,
  ...(item.content && { content: item.content.map(({ parsed, ...part }) => part) }),
});

function plain(item) {
  const { arguments: text, content, ...fields } = inputOf(item);
  return {
    ...fields,
    ...(text && { arguments: JSON.parse(text) }),
    ...(content && { content: content.map(({ logprobs, ...part }) => part) }),
  };
}

function itemsOf(leg, name, state) {
  const items = [];
  for (const { number, thinking, text } of leg.rounds) {
    if (thinking) {
      items.push({
        id: `rs_${name}_r${number}`,
        type: "reasoning",
        summary: [{ type: "summary_text", text: thinking }],
        ...(state === "stateless encrypted" && { encrypted_content: `gAAAA_${name}_r${number}==` }),
      });
    }
    if (text) {
      items.push({
        id: `msg_${name}_r${number}`,
        type: "message",
        status: "completed",
        role: "assistant",
        content: [{ type: "output_text", annotations: [], text }],
      });
    }
  }
  for (const { place, tool, arguments: given } of leg.calls) {
    items.push({
      id: `fc_${name}_${place}`,
      type: "function_call",
      status: "completed",
      call_id: `call_${name}_${place}`,
      name: tool,
      arguments: given,
    });
  }
  return items;
}

function checkUsage(usage, leg) {
  assert.equal(usage.input_tokens, leg.promptTokens);
  assert.equal(usage.input_tokens_details.cached_tokens, leg.total("cache_read"));
  assert.equal(usage.input_tokens_details.cache_write_tokens, leg.total("cache_write"));
  assert.equal(usage.output_tokens, leg.total("output"));
  assert.equal(usage.output_tokens_details.reasoning_tokens, leg.total("reasoning"));
  assert.equal(usage.total_tokens, leg.promptTokens + leg.total("output"));
}

const resultsOf = (response) => response.output
  .filter((item) => item.type === "function_call")
  .map((call, index) => ({ type: "function_call_output", call_id: call.call_id, output: `client result ${index}` }));
