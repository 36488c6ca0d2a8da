import { useEffect, useRef, useState } from "react";
import { useT, type Key } from "@/shared/i18n";
import { useLiveState } from "../live/context";
import type { Ending, LiveRun } from "../live/LiveRun";

const SAID: Record<NonNullable<Ending>, Key> = {
  complete: "chat.answered",
  stopped: "chat.stoppedShort",
  failed: "chat.failedShort",
};

/** Tells a screen reader that an answer has begun and how it ended, and not each word in between. */
export function LiveRegion({ run }: { run: LiveRun | null }) {
  const t = useT();
  const last = useRef<LiveRun | null>(null);
  const [ending, setEnding] = useState<Ending>(null);
  const waits = useLiveState(run)?.phase === "waiting";
  useEffect(() => {
    if (run) last.current = run;
    else if (last.current) setEnding(last.current.now.ending ?? "failed");
  }, [run]);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {waits ? t("steps.waitsForYou") : run ? t("chat.answering") : ending ? t(SAID[ending]) : ""}
    </div>
  );
}
