// LangGraph's SDK for JavaScript against a server: node agent_server_client.mjs MODULES URL TOKEN. Prints what it saw.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, apiUrl, token] = process.argv.slice(2);
const entry = createRequire(`${modules}/`).resolve("@langchain/langgraph-sdk");
const { Client } = await import(pathToFileURL(entry).href);

const client = new Client({ apiUrl, apiKey: null, defaultHeaders: { Authorization: `Bearer ${token}` } });
const [assistant] = await client.assistants.search({ graphId: "chat" });
const thread = await client.threads.create({ metadata: { from: "js" } });
const question = { messages: [{ type: "human", content: "Which is the longest river?" }] };

const events = [];
let spoken = "";
let runId = null;
const stream = client.runs.stream(thread.thread_id, assistant.assistant_id, {
  input: question,
  streamMode: ["values", "messages-tuple", "updates", "custom"],
  onRunCreated: (created) => (runId = created.run_id),
});
for await (const { event, data } of stream) {
  events.push(event);
  if (event === "messages") spoken += data[0].content;
}
const state = await client.threads.getState(thread.thread_id);
const history = await client.threads.getHistory(thread.thread_id, { limit: 20 });
const joined = [];
for await (const { event } of client.runs.joinStream(thread.thread_id, runId, { streamMode: ["values"] })) joined.push(event);
const waited = await client.runs.wait(thread.thread_id, "chat", {
  input: { messages: [{ role: "user", content: "And the deepest?" }] },
  checkpointId: state.checkpoint.checkpoint_id,
});
const found = await client.threads.search({ metadata: { from: "js" } });
console.log(
  JSON.stringify({
    events: [...new Set(events)],
    spoken,
    runId,
    state: state.values.messages.map(({ content }) => content),
    history: history.length,
    joined,
    waited: waited.messages.length,
    found: found.map(({ thread_id }) => thread_id),
    thread: thread.thread_id,
  }),
);
