// The Vercel AI SDK over Responses, streamed, stateless, with the messages that each answer gives back.
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { createOpenAI } from "@ai-sdk/openai";
import { jsonSchema, stepCountIs, streamText, tool } from "ai";

const [gateway, apiKey, ...prompts] = process.argv.slice(2);
const model = createOpenAI({ baseURL: `${gateway}/openai/v1`, apiKey }).responses("gpt-5.1");
const lookup = tool({
  description: "Reads a file on the client's side.",
  inputSchema: jsonSchema({ type: "object", properties: { path: { type: "string" } }, required: ["path"] }),
  execute: ({ path }) => readFile(path, "utf8"),
});
const openai = { store: false, include: ["reasoning.encrypted_content"], reasoningSummary: "auto" };

async function ask(messages) {
  let failure;
  const result = streamText({
    model, messages, tools: { lookup }, system: "Be brief.", stopWhen: stepCountIs(5), providerOptions: { openai },
    onError: ({ error }) => { failure = error; },
  });
  await result.consumeStream();
  if (failure) throw failure;
  console.log(await result.text);
  return result.responseMessages;
}

let history = [];
for (const prompt of prompts) {
  history.push({ role: "user", content: prompt });
  for (let left = 2; ; left -= 1) {
    try {
      history = [...history, ...(await ask(history))];
      break;
    } catch (error) {
      console.error(error);
      if (left === 0) process.exit(1);
      await pause(500);
    }
  }
}
