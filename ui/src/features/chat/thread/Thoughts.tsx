import { useEffect, useState } from "react";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import type { LiveState } from "../live/LiveRun";

/** What the model thought before it answered, folded; how long it has, where this page has seen it. */
export function Thoughts({ text, live }: { text: string; live: LiveState | null }) {
  const t = useT();
  const formats = useFormats();
  // The run is gone a moment after its end, and nothing else knows the time.
  const [ms, setMs] = useState<number | null>(null);
  const seen = live?.thoughtMs ?? null;
  useEffect(() => {
    if (seen !== null) setMs(seen);
  }, [seen]);
  const growing = live?.phase === "thinking";
  const title = growing ? t("thoughts.now") : ms === null ? t("thoughts.title") : t("thoughts.for", { time: formats.duration(ms) });
  return (
    <details className="thoughts" data-growing={growing}>
      <summary>{title}</summary>
      <div className="thoughts__text" dir="auto">
        {text}
      </div>
    </details>
  );
}
