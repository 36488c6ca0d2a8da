import { readStored, writeStored } from "@/shared/hooks/useStored";

/** What this browser keeps of a conversation, each under its name. */
type Kept = "draft" | "parameters";

/** The name of what is kept of a conversation; null is the new chat, which has no id yet. */
export const keptAs = (what: Kept, conversationId: string | null): string => `${what}:${conversationId ?? "new"}`;

/** The new chat has become a conversation: what was set for it goes along, and the next one begins afresh. */
export function moveKept(conversationId: string): void {
  for (const what of ["parameters"] as const) {
    writeStored(keptAs(what, conversationId), readStored(keptAs(what, null)));
    writeStored(keptAs(what, null), "");
  }
}
