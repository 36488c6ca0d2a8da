import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import type { RetentionDue, RetentionLimits } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { formText } from "@/shared/ui/formText";
import { useToast } from "@/shared/ui/Toasts";
import { LEAST_DAYS, retentionQuery, STORES, useApplyRetention, usePreviewRetention, useSetRetention } from "./retention";

/** How long each kind of record is kept. What new limits would delete is shown before they are saved. */
export function Retention() {
  const { data, error } = useQuery(retentionQuery);
  if (error) return <ErrorNotice error={error} />;
  // The form begins anew with what was saved.
  return data ? <RetentionForm key={JSON.stringify(data)} saved={data} /> : null;
}

interface Asked {
  limits: RetentionLimits;
  due: RetentionDue[];
}

function RetentionForm({ saved }: { saved: RetentionLimits }) {
  const t = useT();
  const toast = useToast();
  const preview = usePreviewRetention();
  const save = useSetRetention();
  const apply = useApplyRetention();
  const [asked, setAsked] = useState<Asked | null>(null);
  const [due, setDue] = useState<RetentionDue[] | null>(null);
  const isAnySet = STORES.some((store) => saved[store] != null);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const limits = limitsOf(new FormData(event.currentTarget));
    preview.mutate(limits, { onSuccess: ({ items }) => setAsked({ limits, due: items }) });
  }

  const confirm = (limits: RetentionLimits) =>
    save.mutate(limits, {
      onSuccess: () => {
        setAsked(null);
        toast({ text: t("retention.saved") });
      },
    });

  const deleteNow = () =>
    apply.mutate(undefined, {
      onSuccess: ({ removed, more }) => {
        const count = Object.values(removed).reduce((sum, each) => sum + each, 0);
        setDue(null);
        toast({ text: t(more ? "retention.deletedSome" : "retention.deleted", { count }) });
      },
    });

  return (
    <>
      <p>{t("retention.explain")}</p>
      <form className="retention" onSubmit={submit}>
        {STORES.map((store) => (
          <Field
            key={store}
            label={t(`retention.${store}`)}
            hint={t(`retention.${store}.hint`)}
            name={store}
            type="number"
            min={LEAST_DAYS[store] ?? 1}
            max={36_500}
            step={1}
            placeholder={t(store === "events" ? "retention.anHour" : "retention.forGood")}
            defaultValue={saved[store] ?? ""}
          />
        ))}
        {preview.error && <ErrorNotice error={preview.error} />}
        <div className="retention__actions">
          <Button type="submit" kind="primary" disabled={preview.isPending}>
            {t("retention.check")}
          </Button>
          {isAnySet && (
            <Button
              disabled={preview.isPending}
              onClick={() => preview.mutate(saved, { onSuccess: ({ items }) => setDue(items) })}
            >
              {t("retention.now")}
            </Button>
          )}
        </div>
      </form>
      {due && (
        <ConfirmDialog
          title={t("retention.nowAsk")}
          text={<DueList due={due} />}
          work={apply}
          onConfirm={deleteNow}
          onClose={() => setDue(null)}
        />
      )}
      {asked && (
        <ConfirmDialog
          title={t("retention.confirm")}
          text={<DueList due={asked.due} />}
          action={t("app.save")}
          work={save}
          onConfirm={() => confirm(asked.limits)}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}

/** What limits would delete now, by store. */
function DueList({ due }: { due: RetentionDue[] }) {
  const t = useT();
  const { date } = useFormats();
  if (due.length === 0) return t("retention.noLimits");
  return (
    <span className="retention__due">
      {due.map(({ store, count, held, oldest }) => (
        <span key={store}>
          {t("retention.due", { store: t(`retention.${store}`), count })}
          {count > 0 && oldest && ` ${t("retention.oldest", { date: date(oldest) })}`}
          {held > 0 && ` ${t("retention.held", { count: held })}`}
        </span>
      ))}
    </span>
  );
}

/** What the form says, as the server takes it: an empty field is no limit. */
function limitsOf(data: FormData): RetentionLimits {
  return Object.fromEntries(
    STORES.map((store) => {
      const days = formText(data, store);
      return [store, days === null ? null : Number(days)];
    }),
  );
}
