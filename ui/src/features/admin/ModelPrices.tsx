import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import type { ProviderName } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { Button, Field, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { FormActions } from "@/shared/ui/FormActions";
import { formText } from "@/shared/ui/formText";
import { Modal } from "@/shared/ui/Modal";
import { modelOf, modelPricesQuery, modelText, useDeleteModelPrice, useSetModelPrice } from "./modelRules";

/** What models cost; OpenAI's public prices count without being set. */
export function ModelPrices() {
  const t = useT();
  const { money } = useFormats();
  const { data, error } = useQuery(modelPricesQuery);
  const { mutate: remove } = useDeleteModelPrice();
  const [adding, setAdding] = useState(false);
  const items = data?.items ?? [];
  return (
    <>
      <h3>{t("prices.title")}</h3>
      <p>{t("prices.explain")}</p>
      {error && <ErrorNotice error={error} />}
      {items.length > 0 && (
        <ul className="users" aria-label={t("prices.title")}>
          {items.map(({ model_source: source, model_name: name, input, output, origin }) => (
            <li key={`${source}/${name}`} className="user">
              <span className="user__name">
                <strong>{modelText({ source: source as ProviderName, name })}</strong>
                <small>
                  {t("prices.both", { input: money(input), output: money(output) })}
                  {origin === "settings" && ` · ${t("prices.ofSettings")}`}
                </small>
              </span>
              {origin === "page" && (
                <IconButton
                  icon="trash"
                  label={t("app.delete")}
                  onClick={() => remove({ source: source as ProviderName, name })}
                />
              )}
            </li>
          ))}
        </ul>
      )}
      <Button icon="plus" onClick={() => setAdding(true)}>
        {t("prices.set")}
      </Button>
      {adding && <PriceDialog onClose={() => setAdding(false)} />}
    </>
  );
}

function PriceDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const save = useSetModelPrice();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const { source, name } = modelOf(formText(data, "model") ?? "");
    const prices = { input: Number(data.get("input")), output: Number(data.get("output")) };
    save.mutate({ model_source: source, model_name: name ?? "", ...prices }, { onSuccess: onClose });
  }

  return (
    <Modal title={t("prices.set")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {save.error && <ErrorNotice error={save.error} />}
        <Field label={t("prices.model")} hint={t("prices.modelHint")} name="model" spellCheck={false} required />
        <Field label={t("prices.input")} name="input" type="number" min={0} step="any" required />
        <Field label={t("prices.output")} name="output" type="number" min={0} step="any" required />
        <FormActions onCancel={onClose} disabled={save.isPending} />
      </form>
    </Modal>
  );
}
