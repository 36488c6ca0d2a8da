import type { Conversation } from "@/shared/api/types";
import { daysAgo } from "@/shared/i18n/format";

export type Group = "pinned" | "today" | "yesterday" | "week" | "month" | "older" | "archivedGroup";
export type Line = { kind: "heading"; group: Group } | { kind: "conversation"; conversation: Conversation };

function groupOf(conversation: Conversation, now: Date): Group {
  if (conversation.archived) return "archivedGroup";
  if (conversation.pinned) return "pinned";
  const days = daysAgo(conversation.updated_at, now);
  if (days <= 0) return "today";
  if (days === 1) return "yesterday";
  if (days <= 7) return "week";
  return days <= 30 ? "month" : "older";
}

const ORDER: Group[] = ["pinned", "today", "yesterday", "week", "month", "older", "archivedGroup"];

/** The list's lines: each group that has conversations under its heading, in the order the server gave them. */
export function grouped(conversations: Conversation[], now: Date = new Date()): Line[] {
  const groups = new Map<Group, Conversation[]>();
  for (const conversation of conversations) {
    const group = groupOf(conversation, now);
    const members = groups.get(group);
    if (members) members.push(conversation);
    else groups.set(group, [conversation]);
  }
  return ORDER.flatMap((group) => {
    const members = groups.get(group) ?? [];
    if (members.length === 0) return [];
    return [
      { kind: "heading" as const, group },
      ...members.map((conversation) => ({ kind: "conversation" as const, conversation })),
    ];
  });
}

/** The titles that more than one conversation has. */
export function titlesOfSeveral(conversations: Conversation[]): Set<string> {
  const seen = new Set<string>();
  return new Set(conversations.map(({ title }) => title ?? "").filter((title) => seen.has(title) || !seen.add(title)));
}
