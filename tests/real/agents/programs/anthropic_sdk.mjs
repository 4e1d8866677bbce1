// The anthropic SDK, streamed, with its own time-outs: one answer, and the text of it.
import Anthropic from "@anthropic-ai/sdk";

const [gateway, apiKey, content] = process.argv.slice(2);
const lookup = { name: "lookup", input_schema: { type: "object", properties: { path: { type: "string" } } } };
const stream = new Anthropic({ baseURL: `${gateway}/anthropic`, apiKey }).messages.stream({
  model: "claude-sonnet-4-5", max_tokens: 4000, tools: [lookup], messages: [{ role: "user", content }],
});
console.log(await stream.finalText());
