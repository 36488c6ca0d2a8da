import { sourceName } from "@/shared/api/sources";
import { useT, type Key } from "@/shared/i18n";
import { en } from "@/shared/i18n/en";
import { useFormats } from "@/shared/i18n/format";
import type { TraceNode } from "./types";

/** The nodes of a run as bars on one time line. */
export function Timeline({ nodes }: { nodes: TraceNode[] }) {
  const t = useT();
  const formats = useFormats();
  const spans = placed(nodes);
  // A source that nobody answered at is a step of its own.
  const several = spans.filter(({ source }) => source !== null).length > 1;
  const total = Math.max(1, ...spans.map(({ start, ms }) => start + ms));
  return (
    <section>
      <h3>{t("trace.timeline")}</h3>
      <ol className="timeline">
        {spans.map(({ node, source, failed, start, ms }, index) => (
          <li key={index} className="timeline__step">
            <span className="timeline__name">
              {`node.${node}` in en ? t(`node.${node}` as Key) : node}
              {several && source !== null && ` · ${sourceName(t, source)}`}
              {failed && ` · ${t("trace.failed")}`}
            </span>
            <span className="timeline__track" aria-hidden="true">
              <span
                className={`timeline__bar timeline__bar--${node}`}
                style={{ left: `${(100 * start) / total}%`, width: `${Math.max(0.6, (100 * ms) / total)}%` }}
              />
            </span>
            <span className="timeline__ms">{formats.duration(ms)}</span>
          </li>
        ))}
      </ol>
      <p className="trace__note">{t("trace.total", { time: formats.duration(total) })}</p>
    </section>
  );
}

interface Span {
  node: string;
  source: string | null;
  failed: boolean;
  start: number;
  ms: number;
}

/** Where each node begins; without times of their own they follow each other. */
function placed(nodes: TraceNode[]): Span[] {
  let end = 0;
  return nodes.map(({ node, started_ms, ms, input, output }) => {
    const start = started_ms ?? end;
    end = start + (ms ?? 0);
    const source = node === "generate" && typeof input["source"] === "string" ? input["source"] : null;
    return { node, source, failed: typeof output["error"] === "string", start, ms: ms ?? 0 };
  });
}
