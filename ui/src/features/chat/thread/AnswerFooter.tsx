import { useState } from "react";
import type { Message } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { IconButton, Tip } from "@/shared/ui/controls";
import { CopyButton } from "@/shared/ui/CopyButton";
import { useActions } from "./actions";
import { FeedbackDialog } from "./FeedbackDialog";
import { ReadAloud } from "./ReadAloud";
import { Versions } from "./Versions";

/** The actions of an answer, and what it took: model, time, tokens. */
export function AnswerFooter({ message }: { message: Message }) {
  const t = useT();
  const { busy, regenerate, modelMenu, rate, explain } = useActions();
  const [judging, setJudging] = useState(false);
  const rating = message.feedback?.rating;
  function judge() {
    // The opinion counts at once; why is asked for.
    if (rating !== "down") rate(message, { rating: "down", reasons: [], show_text: false });
    setJudging(true);
  }
  return (
    <footer className="message__actions">
      <Versions message={message} />
      <CopyButton text={message.content} label={t("chat.copy")} />
      <IconButton small icon="refresh" label={t("chat.regenerate")} disabled={busy} onClick={() => regenerate(message)} />
      {!busy && modelMenu((model) => regenerate(message, model))}
      <ReadAloud text={message.content} />
      <IconButton
        small
        icon="up"
        label={t("chat.good")}
        aria-pressed={rating === "up"}
        onClick={() => rate(message, rating === "up" ? null : { rating: "up", reasons: [], show_text: false })}
      />
      <IconButton small icon="down" label={t("chat.bad")} aria-pressed={rating === "down"} onClick={judge} />
      {judging && <FeedbackDialog message={message} onClose={() => setJudging(false)} />}
      <IconButton small icon="why" label={t("chat.why")} onClick={() => explain(message)} />
      <Meta message={message} />
    </footer>
  );
}

function Meta({ message }: { message: Message }) {
  const t = useT();
  const formats = useFormats();
  const total = message.timings?.["total_ms"];
  const { usage, model_name: model, model_source: source } = message;
  return (
    <span className="meta">
      {source === "embedded" && <span className="badge">{t("app.demo")}</span>}
      {model && <span className="meta__model">{model}</span>}
      {typeof total === "number" && <span>{formats.duration(total)}</span>}
      {usage && (
        <Tip text={t("chat.tokensDetail", { input: usage.input_tokens, output: usage.output_tokens })}>
          <span>{t("chat.tokens", { count: usage.total_tokens })}</span>
        </Tip>
      )}
      {typeof usage?.cost_usd === "number" && <span>{formats.money(usage.cost_usd)}</span>}
      <time dateTime={message.created_at}>{formats.time(message.created_at)}</time>
    </span>
  );
}
