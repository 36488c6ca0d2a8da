import { useId } from "react";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useToast } from "@/shared/ui/Toasts";
import { useReplaceFile } from "./api";
import type { Question, Uploads } from "./useUploads";

/** Asks, without being in the way, whether files that have arrived replace older ones of their names. */
export function Replacements({ conversationId, uploads }: { conversationId: string | null; uploads: Uploads }) {
  const questions = uploads.questions.filter((question) => question.conversationId === conversationId);
  if (questions.length === 0) return null;
  return (
    <div className="replacements">
      {questions.map((question) => (
        <Replacement key={question.file.id} question={question} onSettled={() => uploads.settle(question)} />
      ))}
    </div>
  );
}

function Replacement({ question: { file, older }, onSettled }: { question: Question; onSettled: () => void }) {
  const t = useT();
  const id = useId();
  const toast = useToast();
  const formats = useFormats();
  const replace = useReplaceFile();
  const confirm = () =>
    replace.mutate(
      { id: file.id, olderId: older.id },
      {
        onSuccess: ({ replaces_id }) => {
          toast({ text: t(replaces_id ? "files.replacing" : "files.replaced", { name: file.name }) });
          onSettled();
        },
      },
    );
  return (
    <div className="notice replacement" role="group" aria-labelledby={id}>
      <p id={id} role="alert">
        {t("files.known", { name: file.name, date: formats.date(older.created_at), size: formats.bytes(older.size) })}
      </p>
      {replace.error && <ErrorNotice error={replace.error} />}
      <Button kind="primary" disabled={replace.isPending} onClick={confirm}>
        {t("files.replace")}
      </Button>
      <Button disabled={replace.isPending} onClick={onSettled}>
        {t("files.keepBoth")}
      </Button>
    </div>
  );
}
