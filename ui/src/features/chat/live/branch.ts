import type { Attachment, Message } from "@/shared/api/types";
import type { RunEvent } from "./events";
import type { Asked } from "./LiveRun";

/** Put the messages of one branch in order, root first, whatever order the server's pages have. */
export function inOrder(messages: Message[]): Message[] {
  const ids = new Set(messages.map((message) => message.id));
  const byParent = new Map(messages.map((message) => [message.parent_id ?? null, message]));
  const ordered: Message[] = [];
  let next = messages.find((message) => !message.parent_id || !ids.has(message.parent_id));
  while (next) {
    ordered.push(next);
    next = byParent.get(next.id);
  }
  return ordered;
}

/** The part of a branch that ends in the message `last`; nothing for null. */
export function upTo(branch: Message[], last: string | null): Message[] {
  if (last === null) return [];
  const index = branch.findIndex((message) => message.id === last);
  return index < 0 ? branch : branch.slice(0, index + 1);
}

/** A message that is not recorded yet. */
export function draftMessage(part: Partial<Message> & Pick<Message, "id" | "role">): Message {
  return {
    conversation_id: "",
    parent_id: null,
    sibling_ids: [part.id],
    content: "",
    status: "complete",
    sources: [],
    steps: [],
    attachments: [],
    image_file_ids: [],
    model_source: null,
    model_name: null,
    usage: null,
    feedback: null,
    run_id: null,
    created_at: new Date().toISOString(),
    error: null,
    fallback_from: null,
    timings: null,
    finish_reason: null,
    ...part,
  };
}

/** The branch once a run has begun: the question where there is a new one, and the answer that is being written. */
export function opened(
  branch: Message[],
  asked: Asked,
  event: RunEvent & { type: "start" },
  attachments: Attachment[] = [],
): Message[] {
  const common = { conversation_id: event.conversation_id };
  if (asked.continues) {
    return branch.map((message) =>
      message.id === event.message_id ? { ...message, status: "streaming" as const, run_id: event.run_id, error: null } : message,
    );
  }
  const kept = upTo(branch, asked.after);
  const question =
    asked.question === null
      ? []
      : [
          draftMessage({
            ...common,
            id: event.user_message_id,
            role: "user",
            parent_id: asked.after,
            content: asked.question,
            attachments,
            image_file_ids: asked.images ?? [],
          }),
        ];
  const answer = draftMessage({
    ...common,
    id: event.message_id,
    role: "assistant",
    parent_id: event.user_message_id,
    status: "streaming",
    run_id: event.run_id,
    model_source: event.model_source,
    model_name: event.model_name,
    fallback_from: event.fallback_from ?? null,
  });
  return [...kept, ...question, answer];
}

/** The branch once a run is done, until the server's own record of it arrives. */
export function finished(
  branch: Message[],
  event: RunEvent & { type: "done" },
  text: string,
  reasoning: string,
): Message[] {
  return branch.map((message) =>
    message.id === event.message_id
      ? {
          ...message,
          content: text,
          reasoning: reasoning || null,
          status: event.finish_reason === "stopped" ? ("stopped" as const) : ("complete" as const),
          sources: event.sources ?? message.sources,
          steps: event.steps ?? message.steps,
          usage: event.usage ?? null,
          timings: event.timings ?? null,
          finish_reason: event.finish_reason ?? null,
        }
      : message,
  );
}
