import { readStored, writeStored } from "@/shared/hooks/useStored";

/** What this browser keeps of a conversation, each under its name. */
type Kept = "draft" | "draft:queued" | "draft:sent" | "parameters";

/** The name of what is kept of a conversation; null is the new chat, which has no id yet. */
export const keptAs = (what: Kept, conversationId: string | null): string => `${what}:${conversationId ?? "new"}`;

/** Two texts as one, either of which may be empty. */
export const joined = (first: string, second: string): string => [first, second].filter(Boolean).join("\n\n");

/** The new chat has become a conversation: what was typed and set there goes along, and the next one begins afresh. */
export function moveKept(conversationId: string): void {
  for (const what of ["draft", "draft:queued", "parameters"] as const) {
    writeStored(keptAs(what, conversationId), readStored(keptAs(what, null)));
    writeStored(keptAs(what, null), "");
  }
}

/** Put a text that was not sent back where it was written, before what has been written there since. */
export function giveBack(conversationId: string | null, text: string): void {
  const name = keptAs("draft", conversationId);
  writeStored(name, joined(text, readStored(name)));
}

/** The questions that this page is sending, by the name that they are kept under until the server has them. */
const underWay = new Set<string>();

/** A question leaves for the server. It is kept until that has it, so that a page that is closed meanwhile loses nothing. */
export function keepSent(conversationId: string | null, text: string): void {
  const name = keptAs("draft:sent", conversationId);
  underWay.add(name);
  writeStored(name, text);
}

/** The server has the question, or it was given back. */
export function forgetSent(conversationId: string | null): void {
  const name = keptAs("draft:sent", conversationId);
  underWay.delete(name);
  writeStored(name, "");
}

/** Give back a question that the server does not have, and what waits behind it. */
export function giveBackSent(conversationId: string | null, question: string): void {
  forgetSent(conversationId);
  const queued = keptAs("draft:queued", conversationId);
  giveBack(conversationId, joined(question, readStored(queued)));
  writeStored(queued, "");
}

/** Give back what a page was sending when it was closed, unless it is what `last` says: that has arrived. */
export function takeUpSent(conversationId: string | null, last: string | null): void {
  const name = keptAs("draft:sent", conversationId);
  const text = readStored(name);
  if (text === "" || underWay.has(name)) return;
  if (text === last) forgetSent(conversationId);
  else giveBackSent(conversationId, text);
}
