// A page of a stranger's: LangGraph's `useStream` as its documentation shows it, against /langgraph of this origin.
import { useStream } from "@langchain/langgraph-sdk/react";
import { createElement as h, useState } from "react";
import { createRoot } from "react-dom/client";

function Chat({ apiKey }) {
  const [threadId, onThreadId] = useState(null);
  const stream = useStream({
    apiUrl: `${location.origin}/langgraph`,
    apiKey,
    assistantId: "chat",
    messagesKey: "messages",
    threadId,
    onThreadId,
  });
  return h(
    "main",
    null,
    stream.messages.map((message) => h("p", { key: message.id, className: message.type }, String(message.content))),
    h("output", null, stream.error ? String(stream.error) : stream.isLoading ? "loading" : "idle"),
    h("button", { onClick: () => stream.submit({ messages: [{ type: "human", content: "Who are you?" }] }) }, "Ask"),
    h("button", { onClick: () => stream.stop() }, "Stop"),
  );
}

createRoot(document.body.appendChild(document.createElement("div"))).render(h(Chat, { apiKey: window.API_KEY }));
