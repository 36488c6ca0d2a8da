import type { Message } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { IconButton, Tip } from "@/shared/ui/controls";
import { CopyButton } from "@/shared/ui/CopyButton";
import { useActions } from "./actions";
import { Versions } from "./Versions";

/** The actions of an answer, and what it took: model, time, tokens. */
export function AnswerFooter({ message }: { message: Message }) {
  const t = useT();
  const { busy, regenerate, rate, explain } = useActions();
  return (
    <footer className="message__actions">
      <Versions message={message} />
      <CopyButton text={message.content} label={t("chat.copy")} />
      <IconButton small icon="refresh" label={t("chat.regenerate")} disabled={busy} onClick={() => regenerate(message)} />
      <IconButton
        small
        icon="up"
        label={t("chat.good")}
        aria-pressed={message.feedback?.rating === "up"}
        onClick={() => rate(message, "up")}
      />
      <IconButton
        small
        icon="down"
        label={t("chat.bad")}
        aria-pressed={message.feedback?.rating === "down"}
        onClick={() => rate(message, "down")}
      />
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
      <time dateTime={message.created_at}>{formats.time(message.created_at)}</time>
    </span>
  );
}
