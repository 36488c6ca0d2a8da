import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import type { LiveState } from "../live/LiveRun";

/** What the model thought before it answered, folded, and how long it has. */
export function Thoughts({ text, live, recordedMs }: { text: string; live: LiveState | null; recordedMs: number | null }) {
  const t = useT();
  const formats = useFormats();
  const ms = live?.thoughtMs ?? recordedMs;
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
