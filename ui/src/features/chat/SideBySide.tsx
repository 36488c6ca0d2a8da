import { useMemo } from "react";
import type { Message, Source } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { citing, CitationContext } from "@/shared/markdown/context";
import { Markdown } from "@/shared/markdown/Markdown";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { useLiveState } from "./live/context";
import { LiveRun, type LiveState } from "./live/LiveRun";

interface SideBySideProps {
  /** Answers to the same question: written ones, and ones that are being written. */
  answers: readonly (Message | LiveRun)[];
  titles: readonly string[];
  /** Called with the answer that the conversation is to go on from. */
  onKeep: (messageId: string) => void;
  onClose: () => void;
}

/** Answers to one question side by side; the conversation goes on from the one that is kept. */
export function SideBySide({ answers, titles, onKeep, onClose }: SideBySideProps) {
  const t = useT();
  return (
    <Modal title={t("trace.compare")} wide onClose={onClose}>
      <div className="compare">
        {answers.map((answer, index) => (
          <Column
            key={index}
            title={titles[index] ?? ""}
            answer={answer}
            onKeep={(id) => {
              onKeep(id);
              onClose();
            }}
          />
        ))}
      </div>
      <div className="dialog__actions">
        <Button onClick={onClose}>{t("app.close")}</Button>
      </div>
    </Modal>
  );
}

interface ColumnProps {
  title: string;
  answer: Message | LiveRun;
  onKeep: (messageId: string) => void;
}

function Column({ title, answer, onKeep }: ColumnProps) {
  const t = useT();
  const live = useLiveState(answer instanceof LiveRun ? answer : null);
  const { over, text, model, id, error, sources } = answer instanceof LiveRun ? told(live ?? answer.now) : written(answer);
  const cite = useMemo(() => citing(sources, drawn), [sources]);
  return (
    <section aria-busy={!over} aria-label={title}>
      <h3>{title}</h3>
      <p className="compare__model">{model ?? t("chat.thinking")}</p>
      <CitationContext value={cite}>
        <Markdown text={text} growing={!over} />
      </CitationContext>
      {error !== null && <ErrorNotice error={error} />}
      {over && id && error === null && (
        <Button icon="check" onClick={() => onKeep(id)}>
          {t("compare.keep")}
        </Button>
      )}
    </section>
  );
}

interface Shown {
  over: boolean;
  text: string;
  model: string | null;
  id: string | null;
  sources: Source[];
  error: unknown;
}

const written = ({ id, content, model_name: model, sources }: Message): Shown => ({
  over: true,
  text: content,
  model: model ?? null,
  id,
  sources,
  error: null,
});

const told = ({ phase, text, modelName, messageId, sources, error }: LiveState): Shown => ({
  over: phase === "over",
  text,
  model: modelName,
  id: messageId,
  sources,
  error,
});

/** A citation with its file's name as a hint: beside each other two answers leave no room for a document. */
const drawn = ({ n, file_name: name, snippet }: Source) => <abbr title={`${name}: ${snippet}`}>[{n}]</abbr>;
