import { useMemo } from "react";
import { useStored } from "@/shared/hooks/useStored";
import { keptAs } from "./kept";

export const EFFORTS = ["none", "low", "medium", "high"] as const;
export type Effort = (typeof EFFORTS)[number];

/** How the model is to answer in one conversation; what is absent is the server's default. */
export interface ChatParameters {
  use_rag?: boolean;
  temperature?: number;
  top_k?: number;
  max_tokens?: number;
  reasoning_effort?: Effort;
}

export const PRESETS = {
  precise: { temperature: 0.1 },
  balanced: { temperature: 0.7 },
  creative: { temperature: 1.1 },
} as const satisfies Record<string, ChatParameters>;

/** The parameters of a conversation, kept in this browser. */
export function useParameters(conversationId: string | null): [ChatParameters, (next: ChatParameters) => void] {
  const [stored, store] = useStored(keptAs("parameters", conversationId), "");
  const parameters = useMemo(() => parse(stored), [stored]);
  return [parameters, (next) => store(Object.keys(next).length > 0 ? JSON.stringify(next) : "")];
}

function parse(stored: string): ChatParameters {
  if (stored === "") return {};
  try {
    return JSON.parse(stored) as ChatParameters;
  } catch {
    return {};
  }
}

/** The same parameters, with files searched (which is the default) or not. */
export function withSearch(parameters: ChatParameters, searches: boolean): ChatParameters {
  const others = Object.fromEntries(
    Object.entries(parameters).filter(([name, value]) => name !== "use_rag" && value !== undefined),
  );
  return searches ? others : { ...others, use_rag: false };
}
