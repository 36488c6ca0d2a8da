import { useEffect, useState } from "react";
import { useT } from "@/shared/i18n";
import type { LiveRun } from "../live/LiveRun";

/** Tells a screen reader that an answer has begun and that it is complete, and not each word in between. */
export function LiveRegion({ run }: { run: LiveRun | null }) {
  const t = useT();
  const [begun, setBegun] = useState(false);
  useEffect(() => {
    if (run) setBegun(true);
  }, [run]);
  return (
    <div className="visually-hidden" role="status" aria-live="polite">
      {run ? t("chat.answering") : begun ? t("chat.answered") : ""}
    </div>
  );
}
