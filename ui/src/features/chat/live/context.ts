import { createContext, useContext, useSyncExternalStore } from "react";
import type { LiveRun, LiveState } from "./LiveRun";
import type { LiveRuns } from "./LiveRuns";

export const LiveRunsContext = createContext<LiveRuns | null>(null);

export function useLiveRuns(): LiveRuns {
  const runs = useContext(LiveRunsContext);
  if (!runs) throw new Error("useLiveRuns needs a LiveRunsContext above it");
  return runs;
}

const nothing = (): (() => void) => () => undefined;

/** The state of a run while it goes on; null where there is none. Only who calls this is drawn anew with each token. */
export function useLiveState(run: LiveRun | null): LiveState | null {
  return useSyncExternalStore(run ? run.subscribe : nothing, () => run?.snapshot() ?? null);
}

/** The two runs that answer a question of this conversation side by side, null where none do. */
export function usePair(conversationId: string | null): readonly LiveRun[] | null {
  const store = useLiveRuns();
  const pair = useSyncExternalStore(store.subscribe, store.pairOf);
  return conversationId !== null && pair?.[0]?.now.conversationId === conversationId ? pair : null;
}

/** The runs of one conversation that this page is showing; `null` is the conversation that has no id yet. */
export function useRunsOf(conversationId: string | null): LiveRun[] {
  const store = useLiveRuns();
  const runs = useSyncExternalStore(store.subscribe, store.snapshot);
  return runs.filter((run) => run.now.conversationId === conversationId);
}
