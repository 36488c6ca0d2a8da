import type { Message } from "@/shared/api/types";
import { draftMessage, upTo } from "../live/branch";
import type { LiveRun } from "../live/LiveRun";

/** One message as the thread shows it, with the run that is writing it, if one is. */
export interface Row {
  key: string;
  message: Message;
  run: LiveRun | null;
  /** Whether it is told that another model stood in: once where that begins, not above each answer. */
  tellsFallback: boolean;
}

type Shown = Omit<Row, "tellsFallback">;

/**
 * The rows of a branch. A run that the server has not named yet adds its question and an empty answer where it will
 * stand, in place of what it replaces.
 */
export function rowsOf(branch: Message[], runs: LiveRun[]): Row[] {
  const sending = runs.find((run) => run.now.messageId === null && run.now.phase !== "over");
  const kept = sending ? upTo(branch, sending.asked.after) : branch;
  const rows: Shown[] = kept.map((message) => ({
    key: message.id,
    message,
    run: runs.find((run) => run.now.messageId === message.id) ?? null,
  }));
  if (!sending) return withFallbacks(rows);
  const { question, after } = sending.asked;
  if (question !== null) {
    const message = draftMessage({ id: "asked", role: "user", content: question, parent_id: after, image_file_ids: sending.asked.images ?? [] });
    rows.push({ key: "asked", message, run: null });
  }
  const answer = draftMessage({ id: "answer", role: "assistant", status: "streaming" });
  rows.push({ key: "answer", message: answer, run: sending });
  return withFallbacks(rows);
}

const standIn = ({ fallback_from, model_source }: Message) => (fallback_from ? `${fallback_from} ${model_source}` : null);

function withFallbacks(rows: Shown[]): Row[] {
  let above: string | null = null;
  return rows.map((row) => {
    const own = row.message.role === "assistant" ? standIn(row.message) : above;
    const tellsFallback = own !== null && own !== above;
    above = own;
    return { ...row, tellsFallback };
  });
}

/** All versions of a message, itself among them, in the order they were written. */
export function versions(message: Message): string[] {
  return message.sibling_ids.includes(message.id) ? message.sibling_ids : [...message.sibling_ids, message.id];
}
