import type { Checkpoint } from "@/shared/api/types";

/** What brought a checkpoint about: the nodes that come next tell where in the turn it stands. */
export const placeOf = (checkpoint: Checkpoint): string => checkpoint.next.join(", ") || (checkpoint.source ?? "");

export interface Change {
  path: string;
  before: unknown;
  after: unknown;
}

/** The leaves in which two states differ, by their path. */
export function difference(before: unknown, after: unknown, path = ""): Change[] {
  if (isRecord(before) && isRecord(after)) {
    const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return fields.flatMap((field) => difference(before[field], after[field], path ? `${path}.${field}` : field));
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }];
}

export interface StateSource {
  n: number;
  name: string;
  page: number | null;
  score: number;
}

/** The passages that a state refers to. */
export function sourcesOf({ values }: Checkpoint): StateSource[] {
  const sources = values["sources"];
  if (!Array.isArray(sources)) return [];
  return sources.filter(isRecord).map((source) => ({
    n: Number(source["n"]),
    name: String(source["file_name"]),
    page: typeof source["page"] === "number" ? source["page"] : null,
    score: Number(source["score"]),
  }));
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
