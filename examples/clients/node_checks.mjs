// OpenAI's client for Node and Vercel's AI SDK; prints a JSON line for each check.
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const url = process.env.OPENAI_BASE_URL;
const only = process.argv[2] ?? "";
const messages = [{ role: "user", content: "What is 2+2? Answer with one number." }];
const client = new OpenAI({ maxRetries: 0 });
const sdk = createOpenAICompatible({ name: "rsd", baseURL: url, includeUsage: true });
const versions = JSON.parse(readFileSync("package.json")).dependencies;

function ensure(condition, found) {
  if (!condition) throw new Error(`found ${JSON.stringify(found)}`);
}

const checks = [
  ["openai", "models.list, models.retrieve", async () => {
    for await (const model of client.models.list()) ensure((await client.models.retrieve(model.id)).id === model.id, model);
  }],
  ["openai", "chat", async () => {
    const answer = await client.chat.completions.create({ model: "rsd", messages, max_tokens: 12, temperature: 0 });
    ensure(answer.choices[0].message.content.includes("4"), answer);
  }],
  ["openai", "chat, stream with usage", async () => {
    const stream = await client.chat.completions.create({
      model: "rsd", messages, max_tokens: 12, temperature: 0, stream: true, stream_options: { include_usage: true },
    });
    let text = "", usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    ensure(text.includes("4") && usage.total_tokens > 0, { text, usage });
  }],
  ["openai", "chat, a stream that is aborted", async () => {
    const body = { model: "rsd", messages: [{ role: "user", content: "Count to 200." }], max_tokens: 400, stream: true };
    const stream = await client.chat.completions.create(body);
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    ensure(stream.controller.signal.aborted, stream);
  }],
  ["openai", "completions, a list of prompts", async () => {
    const prompt = ["1, 2, 3,", "7, 8, 9,"];
    const answer = await client.completions.create({ model: "rsd", prompt, max_tokens: 6, temperature: 0 });
    ensure(answer.choices[0].text.includes("4") && answer.choices[1].text.includes("10"), answer);
  }],
  ["ai", "generateText", async () => {
    const answer = await generateText({ model: sdk("rsd"), messages, maxOutputTokens: 12, temperature: 0, maxRetries: 0 });
    ensure(answer.text.includes("4") && answer.usage.totalTokens > 0, answer.usage);
  }],
  ["ai", "streamText", async () => {
    const answer = streamText({ model: sdk("rsd"), messages, maxOutputTokens: 12, temperature: 0, maxRetries: 0 });
    let text = "";
    for await (const part of answer.textStream) text += part;
    ensure(text.includes("4") && (await answer.usage).totalTokens > 0, text);
  }],
  ["ai", "generateText with a completion model", async () => {
    const model = sdk.completionModel("rsd");
    const answer = await generateText({ model, prompt: "1, 2, 3, 4,", maxOutputTokens: 6, temperature: 0, maxRetries: 0 });
    ensure(answer.text.length > 0, answer.text);
  }],
];

for (const [name, feature, run] of checks) {
  if (!`${name} ${feature}`.includes(only)) continue;
  let result = "works";
  try {
    await run();
  } catch (error) {
    console.error(error);
    result = `FAILS: ${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify({ client: `${name} (npm)`, version: versions[name], feature, result }));
}
