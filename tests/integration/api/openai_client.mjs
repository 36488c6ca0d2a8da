// OpenAI's SDK for JavaScript against a server: node openai_client.mjs MODULES URL KEY. Prints what it saw.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, baseURL, apiKey] = process.argv.slice(2);
const entry = createRequire(`${modules}/`).resolve("openai");
const { OpenAI } = await import(pathToFileURL(entry).href);

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "openai/gpt-4";
const messages = [{ role: "user", content: "Who are you?" }];
const tools = [
  {
    type: "function",
    function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  },
];

/** Return what a call that has to fail is told. */
async function failure(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code };
  }
}

const whole = await client.chat.completions.create({ model, messages });

let text = "";
let usage = null;
const stream = await client.chat.completions.create({
  model,
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}

const calling = client.chat.completions.stream({ model, messages, tools });
const called = await calling.finalChatCompletion();

let spoken = "";
const events = new Set();
const response = await client.responses.create({ model, input: "Who are you?", stream: true });
for await (const event of response) {
  events.add(event.type);
  if (event.type === "response.output_text.delta") spoken += event.delta;
}

const embedded = await client.embeddings.create({ model: "openai/text-embedding-3-small", input: ["one", "two"] });
const models = [];
for await (const listed of client.models.list()) models.push(listed.id);

console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content ?? whole.choices[0].finish_reason,
    text,
    usage: usage?.total_tokens > 0,
    called: called.choices[0].message.tool_calls?.map(({ function: { name, arguments: given } }) => [name, given]) ?? [],
    spoken,
    events: [...events],
    embedded: embedded.data.map(({ embedding }) => embedding.length),
    models,
    unknown: await failure(() => client.chat.completions.create({ model: "openai/no such\nmodel", messages })),
    stranger: await failure(() =>
      new OpenAI({ baseURL, apiKey: "ls_wrong", maxRetries: 0 }).chat.completions.create({ model, messages }),
    ),
    refused: await failure(() => client.chat.completions.create({ model, messages, n: 2 })),
  }),
);
