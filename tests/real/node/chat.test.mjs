// OpenAI Chat Completions through the official SDK: one completion, whatever number of rounds made it.

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { CALLERS_KEY, GATEWAY, checkTools, newCase, prompt, providerSaw, scenarios } from "./expected.mjs";

const client = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: CALLERS_KEY, maxRetries: 0 });

for (const mode of ["streamed", "streamed without usage", "whole"]) {
  for (const scenario of scenarios("chat")) {
    test(`chat ${mode}: ${scenario.name}`, () => play(scenario, mode));
  }
}

async function play(scenario, mode) {
  const name = newCase();
  const history = [{ role: "user", content: prompt(name) }];
  for (const leg of scenario.legs) {
    const completion = await ask(mode, scenario, history);
    check(completion, scenario, leg, name);
    checkUsage(completion.usage, leg, mode !== "streamed without usage");
    const { message } = completion.choices[0];
    history.push(paramOf(message), ...resultsOf(message));
  }
  checkTools(await providerSaw(name, scenario), scenario, {
    nameOf: (tool) => tool.function.name,
    choiceOf: (body) => body.tool_choice,
  });
}

async function ask(mode, scenario, history) {
  const tools = Object.entries(scenario.tools).map(([name, tool]) => ({
    type: "function",
    function: { name, description: tool.description, strict: true, parameters: tool.schema },
  }));
  const request = { model: scenario.name, messages: [...history], ...(tools.length > 0 && { tools }) };
  if (mode === "whole") return client.chat.completions.create(request);
  const withUsage = mode === "streamed";
  const stream = client.chat.completions.stream({
    ...request, ...(withUsage && { stream_options: { include_usage: true } }),
  });
  const chunks = [];
  stream.on("chunk", (chunk) => chunks.push(structuredClone(chunk)));
  const completion = await stream.finalChatCompletion();
  checkChunks(chunks, withUsage);
  return { ...completion, usage: chunks.at(-1).usage ?? undefined };
}

/** The role once, one finish, one id; a chunk without choices only as the asked-for usage at the end. */
function checkChunks(chunks, withUsage) {
  const choices = chunks.flatMap((chunk) => chunk.choices);
  assert.deepEqual(choices.flatMap((choice) => choice.delta.role ?? []), ["assistant"]);
  assert.deepEqual(choices.flatMap((choice, index) => (choice.finish_reason ? index : [])), [choices.length - 1]);
  assert.equal(new Set(chunks.map(({ id, created, model }) => `${id} ${created} ${model}`)).size, 1);
  const last = withUsage ? [chunks.length - 1] : [];
  assert.deepEqual(chunks.flatMap((chunk, index) => (chunk.choices.length === 0 ? index : [])), last);
  assert.deepEqual(chunks.flatMap((chunk, index) => (chunk.usage ? index : [])), last);
}

function check(completion, scenario, leg, name) {
  assert.equal(completion.id, `chatcmpl_${name}_r${leg.first}`);
  assert.deepEqual([completion.created, completion.model], [1793500000 + leg.first, scenario.model]);
  assert.equal(completion.object, "chat.completion");
  assert.equal(completion.choices.length, 1);
  const [choice] = completion.choices;
  assert.equal(choice.index, 0);
  assert.equal(choice.finish_reason, leg.calls.length > 0 ? "tool_calls" : "stop");
  assert.equal(choice.message.role, "assistant");
  assert.equal(choice.message.refusal ?? null, null);
  assert.equal(choice.message.content || null, leg.texts.join("\n\n") || null);
  assert.deepEqual(
    (choice.message.tool_calls ?? []).map(({ id, type, function: { name: tool, arguments: text } }) => (
      [id, type, tool, JSON.parse(text)])),
    leg.calls.map((call) => [`call_${name}_${call.place}`, "function", call.tool, call.arguments]));
}

function checkUsage(usage, leg, askedFor) {
  if (!askedFor) return assert.equal(usage, undefined);
  assert.equal(usage.prompt_tokens, leg.promptTokens);
  assert.equal(usage.completion_tokens, leg.total("output"));
  assert.equal(usage.total_tokens, leg.promptTokens + leg.total("output"));
  assert.equal(usage.prompt_tokens_details.cached_tokens, leg.total("cache_read"));
  assert.equal(usage.prompt_tokens_details.cache_write_tokens, leg.total("cache_write"));
  assert.equal(usage.completion_tokens_details.reasoning_tokens, leg.total("reasoning"));
}

const paramOf = (message) => ({
  role: "assistant",
  content: message.content,
  ...(message.tool_calls?.length > 0 && {
    tool_calls: message.tool_calls.map(({ id, type, function: { name, arguments: text } }) => (
      { id, type, function: { name, arguments: text } })),
  }),
});

const resultsOf = (message) => (message.tool_calls ?? []).map((call, index) => (
  { role: "tool", tool_call_id: call.id, content: `client result ${index}` }));
