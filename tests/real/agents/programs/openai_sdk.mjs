// The openai SDK over Chat Completions, streamed, with its own time-outs: one answer, and the text of it.
import OpenAI from "openai";

const [gateway, apiKey, content] = process.argv.slice(2);
const parameters = { type: "object", properties: { path: { type: "string" } } };
const stream = new OpenAI({ baseURL: `${gateway}/openai/v1`, apiKey }).chat.completions.stream({
  model: "gpt-scripted", messages: [{ role: "user", content }],
  tools: [{ type: "function", function: { name: "lookup", parameters } }],
});
console.log(await stream.finalContent());
