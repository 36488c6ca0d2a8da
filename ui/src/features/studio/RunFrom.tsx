import { at } from "@/shared/root";
import { useState, type FormEvent } from "react";
import type { Checkpoint } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button, Spinner } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useRunFrom } from "./api";

/** Forks a conversation from one of its states: with another question, or with the same one once more. */
export function RunFrom({ conversationId, checkpoint }: { conversationId: string; checkpoint: Checkpoint }) {
  const t = useT();
  const run = useRunFrom(conversationId);
  const [question, setQuestion] = useState("");
  const from = (input: string | null) =>
    run.mutate({ checkpointId: checkpoint.checkpoint_id, question: input }, { onSuccess: () => setQuestion("") });

  function ask(event: FormEvent) {
    event.preventDefault();
    if (question.trim() !== "") from(question.trim());
  }

  return (
    <form className="run-from" aria-label={t("studio.runFrom")} onSubmit={ask}>
      <input
        className="input"
        aria-label={t("studio.question")}
        placeholder={t("studio.question")}
        value={question}
        onChange={(event) => setQuestion(event.target.value)}
      />
      <Button type="submit" kind="primary" disabled={run.isPending || question.trim() === ""}>
        {t("studio.ask")}
      </Button>
      <Button icon="refresh" disabled={run.isPending} onClick={() => from(null)}>
        {t("studio.again")}
      </Button>
      {run.isPending && <Spinner label={t("studio.running")} />}
      {run.error && <ErrorNotice error={run.error} />}
      {run.isSuccess && <a href={at(`/c/${conversationId}`)}>{t("studio.open")}</a>}
    </form>
  );
}
