import { useState, type FormEvent, type ReactNode } from "react";
import { sourceOf } from "@/shared/api/sources";
import type { Message, ModelSource, ReplayRequest } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";

interface Model {
  source: ModelSource | null;
  name: string | null;
}

interface AgainFormProps {
  answer: Message;
  picker: (chosen: Model, onChoose: (model: Model) => void) => ReactNode;
  onReplay: (request: ReplayRequest) => void;
}

const numberOf = (text: FormDataEntryValue | null): number | undefined =>
  typeof text === "string" && text !== "" ? Number(text) : undefined;

/** The same question once more with another model, more passages, another temperature. */
export function AgainForm({ answer, picker, onReplay }: AgainFormProps) {
  const t = useT();
  const [model, setModel] = useState<Model>({
    source: sourceOf(answer.model_source),
    name: answer.model_name ?? null,
  });

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    onReplay({
      model_source: model.source ?? undefined,
      model_name: model.name ?? undefined,
      top_k: numberOf(form.get("top_k")),
      temperature: numberOf(form.get("temperature")),
    });
  }

  return (
    <form className="again" onSubmit={submit}>
      {picker(model, setModel)}
      <div className="again__row">
        <Field label={t("chat.topK")} name="top_k" type="number" min={1} max={50} placeholder={t("chat.default")} />
        <Field
          label={t("chat.temperature")}
          name="temperature"
          type="number"
          min={0}
          max={2}
          step={0.1}
          placeholder={t("chat.default")}
        />
        <Button type="submit" kind="primary" icon="refresh">
          {t("trace.run")}
        </Button>
      </div>
    </form>
  );
}
