import { useMemo } from "react";
import { ApiError } from "@/shared/api/errors";
import { sourceName } from "@/shared/api/sources";
import type { Message, Source } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { citing, CitationContext } from "@/shared/markdown/context";
import { Markdown } from "@/shared/markdown/Markdown";
import { Button } from "@/shared/ui/controls";
import { useErrorText } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { useLiveState } from "../live/context";
import type { LiveState } from "../live/LiveRun";
import { AnswerFooter } from "./AnswerFooter";
import { useActions } from "./actions";
import type { Row } from "./rows";
import { Steps } from "./Steps";
import { Thoughts } from "./Thoughts";

export function AssistantMessage({ row: { message, run, tellsFallback } }: { row: Row }) {
  const t = useT();
  const { citation } = useActions();
  const live = useLiveState(run);
  const writing = live !== null && live.phase !== "over";
  // A page that has just been opened knows of the answer before it has taken its stream up.
  const growing = live === null ? message.status === "streaming" : writing;
  const { text, reasoning, sources, steps } = live ?? { ...message, text: message.content };
  const cite = useMemo(() => citing(sources, (source) => citation(source, "number")), [sources, citation]);

  return (
    <article className="message message--answer" aria-label={t("chat.assistant")} aria-busy={growing}>
      {tellsFallback && <Fallback message={message} />}
      <Pending count={live?.pending ?? 0} />
      {reasoning && <Thoughts text={reasoning} live={live} recordedMs={thoughtMs(message)} />}
      <Steps
        steps={steps}
        sources={sources}
        conversationId={message.conversation_id}
        runId={growing ? (live?.runId ?? message.run_id ?? null) : null}
        waits={live?.phase === "waiting"}
      />
      <CitationContext value={cite}>
        <Markdown text={text} growing={growing} />
      </CitationContext>
      {writing ? <Progress live={live} /> : <Ended message={message} live={live} sources={sources} text={text} />}
    </article>
  );
}

const thoughtMs = ({ timings }: Message): number | null => {
  const ms = timings?.["reasoning_ms"];
  return typeof ms === "number" ? ms : null;
};

interface EndedProps {
  message: Message;
  live: LiveState | null;
  sources: Source[];
  text: string;
}

/** What stands below an answer that is not being written. */
function Ended({ message, live, sources, text }: EndedProps) {
  return (
    <>
      <Outcome message={message} live={live} />
      {sources.length > 0 && <Sources sources={sources} text={text} />}
      {message.status !== "streaming" && <AnswerFooter message={message} />}
    </>
  );
}

/** What the answer rests on; what the model had before it and did not cite is no ground, and lies folded. */
function Sources({ sources, text }: { sources: Source[]; text: string }) {
  const t = useT();
  const { citation } = useActions();
  const cited = useMemo(() => new Set([...text.matchAll(/\[(\d+)\]/g)].map((match) => Number(match[1]))), [text]);
  const list = (shown: Source[], name: string) => (
    <ul className="sources" aria-label={name}>
      {shown.map((source) => (
        <li key={source.n}>{citation(source, "name")}</li>
      ))}
    </ul>
  );
  const grounds = sources.filter(({ n }) => cited.has(n));
  const others = sources.filter(({ n }) => !cited.has(n));
  const lookedAt = t(grounds.length > 0 ? "chat.lookedAtToo" : "chat.lookedAt", { count: others.length });
  return (
    <>
      {grounds.length > 0 && list(grounds, t("chat.sources"))}
      {others.length > 0 && (
        <details className="looked-at">
          <summary>{lookedAt}</summary>
          {list(others, lookedAt)}
        </details>
      )}
    </>
  );
}

function Progress({ live }: { live: LiveState }) {
  const t = useT();
  if (!live.connected)
    return (
      <p className="progress progress--lost" role="status">
        <Icon name="warn" size={16} />
        {t(live.phase === "sending" ? "chat.sendingAgain" : "chat.reconnecting")}
      </p>
    );
  if (live.phase === "writing" || live.phase === "thinking") return null;
  if (live.phase === "waiting")
    return (
      <p className="progress" role="status">
        {t("steps.waitsForYou")}
      </p>
    );
  return (
    <p className="progress">
      <span className="progress__dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {live.sources.length > 0 || live.phase !== "searching" ? t("chat.thinking") : t("chat.searching")}
    </p>
  );
}

const CUT = { stopped: "chat.stopped", interrupted: "chat.interrupted", length: "chat.lengthLimit" } as const;
const isCut = (end: string | null): end is keyof typeof CUT => end !== null && end in CUT;

/** How an answer ended, where it did not simply end. */
function Outcome({ message, live }: { message: Message; live: LiveState | null }) {
  const t = useT();
  const say = useErrorText();
  const { continueAnswer, regenerate, busy } = useActions();
  const error = live?.error ?? (message.error ? new ApiError(500, message.error.code, message.error.message) : null);
  const brokeOff = message.status === "stopped" || message.status === "interrupted";
  if (!brokeOff && (message.status === "failed" || error)) {
    return (
      <div className="outcome outcome--failed" role="alert">
        <span className="outcome__text">{error ? say(error) : t("error.internal_error")}</span>
        {message.content !== "" && (
          <Button disabled={busy} onClick={() => continueAnswer(message)}>
            {t("chat.continue")}
          </Button>
        )}
        <Button icon="refresh" disabled={busy} onClick={() => regenerate(message)}>
          {t("app.retry")}
        </Button>
      </div>
    );
  }
  if (message.status === "complete" && message.content.trim() === "") return <p className="progress">{t("chat.empty")}</p>;
  const end = brokeOff ? message.status : message.finish_reason;
  if (!isCut(end)) return null;
  return (
    <div className="outcome">
      <span>{t(CUT[end])}</span>
      <Button disabled={busy} onClick={() => continueAnswer(message)}>
        {t("chat.continue")}
      </Button>
    </div>
  );
}

function Pending({ count }: { count: number }) {
  const t = useT();
  return count > 0 && <p className="fallback">{t("chat.pending", { count })}</p>;
}

function Fallback({ message }: { message: Message }) {
  const t = useT();
  if (!message.fallback_from || !message.model_source) return null;
  return (
    <p className="fallback">
      <Icon name="warn" size={14} />
      {t("chat.fallback", {
        from: sourceName(t, message.fallback_from),
        to: sourceName(t, message.model_source),
      })}
    </p>
  );
}
