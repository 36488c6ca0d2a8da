import { useEffect, useRef, useSyncExternalStore } from "react";
import { useLiveRuns, useLiveState, useRunsOf } from "@/features/chat/live/context";
import type { LiveRun, Phase } from "@/features/chat/live/LiveRun";
import { useT } from "@/shared/i18n";
import { notify } from "@/shared/notify";
import { at } from "@/shared/root";
import { useToast } from "@/shared/ui/Toasts";

/** Beside a conversation in the list: whether an answer is being written there, or waits for its reader. */
export function RunMark({ conversationId }: { conversationId: string }) {
  const t = useT();
  const [run = null] = useRunsOf(conversationId);
  const phase = useLiveState(run)?.phase ?? "over";
  if (phase === "over") return null;
  const label = t(phase === "waiting" ? "runs.waits" : "runs.goesOn");
  return <span className="run-mark" data-waits={phase === "waiting"} role="img" aria-label={label} title={label} />;
}

/** Tells of answers in other conversations than the open one: when they are complete, and when they wait. */
export function useRunNews(open: (conversationId: string) => void): void {
  const t = useT();
  const toast = useToast();
  const store = useLiveRuns();
  const runs = useSyncExternalStore(store.subscribe, store.snapshot);
  const tell = useRef<(run: LiveRun, phase: Phase) => void>(() => undefined);
  const told = useRef(new WeakMap<LiveRun, Phase>());
  useEffect(() => {
    tell.current = (run, phase) => {
      const { conversationId, ending } = run.now;
      if (told.current.get(run) === phase || !conversationId) return;
      told.current.set(run, phase);
      if (phase !== "waiting" && (phase !== "over" || ending !== "complete")) return;
      const show = () => open(conversationId);
      notify(t(phase === "over" ? "runs.readyHere" : "runs.asksHere"), show);
      // By the address: a new chat may be answered before the router has shown where it is kept.
      if (location.pathname === at(`/c/${conversationId}`)) return;
      toast({ text: t(phase === "over" ? "runs.ready" : "runs.asks"), action: { label: t("runs.open"), run: show } });
    };
  });
  useEffect(() => {
    const ends = runs.map((run) => run.subscribe(() => tell.current(run, run.now.phase)));
    return () => {
      for (const end of ends) end();
    };
  }, [runs]);
}
