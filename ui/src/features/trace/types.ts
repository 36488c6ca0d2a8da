import type { Trace as Recorded } from "@/shared/api/types";

/** A passage that was considered, as the trace of `retrieve` records it. */
export interface Candidate {
  file_id: string;
  file_name: string;
  chunk_id?: string | null;
  position: number;
  lexical: number;
  vector: number;
  score: number;
  chosen: boolean;
}

export interface PromptMessage {
  role: string;
  content: string;
}

/** One node's part of a trace; what `input` and `output` hold depends on the node. */
export interface TraceNode {
  node: string;
  started_ms: number | null;
  ms: number | null;
  input: Record<string, unknown>;
  output: Record<string, unknown>;
}

/** A trace whose nodes, free-form in the contract, have been looked at. */
export type Trace = Omit<Recorded, "nodes"> & { nodes: TraceNode[] };

const record = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
const numberOrNull = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** Read a trace as the server recorded it. */
export function traceOf(recorded: Recorded): Trace {
  const nodes = recorded.nodes.map((node) => ({
    node: typeof node["node"] === "string" ? node["node"] : "?",
    started_ms: numberOrNull(node["started_ms"]),
    ms: numberOrNull(node["ms"]),
    input: record(node["input"]),
    output: record(node["output"]),
  }));
  return { ...recorded, nodes };
}

const listOf = <Item>(value: unknown): Item[] => (Array.isArray(value) ? (value as Item[]) : []);

const outputOf = (trace: Trace, node: string): Record<string, unknown> =>
  trace.nodes.find((step) => step.node === node)?.output ?? {};

/** What was decided of the search: how likely its passages answer, or that the message needs none. */
export type Verdict = "likely" | "possible" | "weak" | "notNeeded";

export function verdictOf(trace: Trace): Verdict | null {
  const { needs_files: needed, confidence } = outputOf(trace, "retrieve");
  if (needed === false) return "notNeeded";
  return confidence === "likely" || confidence === "possible" || confidence === "weak" ? confidence : null;
}

export const candidatesOf = (trace: Trace): Candidate[] => listOf(outputOf(trace, "retrieve")["candidates"]);
export const promptOf = (trace: Trace): PromptMessage[] => listOf(outputOf(trace, "augment")["prompt"]);

/** What did not fit into the prompt, by kind, where anything did not. */
export function cutOf(trace: Trace): [string, number][] {
  const cut = outputOf(trace, "augment")["cut"];
  if (typeof cut !== "object" || cut === null) return [];
  return Object.entries(cut as Record<string, unknown>).flatMap(([kind, value]): [string, number][] => {
    const count = Array.isArray(value) ? value.length : Number(value);
    return count > 0 ? [[kind, count]] : [];
  });
}
