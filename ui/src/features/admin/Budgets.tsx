import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { groupsQuery } from "@/shared/api/groups";
import type { BudgetSet } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { BudgetBar } from "@/shared/stats/BudgetBars";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { formText } from "@/shared/ui/formText";
import { Modal } from "@/shared/ui/Modal";
import { budgetsQuery, useDeleteBudget, useSetBudget } from "./api";

/** What may be spent on models, by whom. */
export function Budgets() {
  const t = useT();
  const { data, error } = useQuery(budgetsQuery);
  const { mutate: remove } = useDeleteBudget();
  const [adding, setAdding] = useState(false);
  const items = data?.items ?? [];
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {data && items.length === 0 && <p>{t("budgets.none")}</p>}
      {items.length > 0 && (
        <ul className="budgets">
          {items.map((budget) => (
            <li key={budget.id} className="budget-row">
              <BudgetBar budget={budget} />
              <IconButton icon="trash" label={t("app.delete")} onClick={() => remove(budget.id)} />
            </li>
          ))}
        </ul>
      )}
      <Button icon="plus" onClick={() => setAdding(true)}>
        {t("budgets.set")}
      </Button>
      {adding && <BudgetDialog onClose={() => setAdding(false)} />}
    </>
  );
}

const WHO = ["each", "everybody", "group", "eachOf", "user"] as const;
type Who = (typeof WHO)[number];
const LABELS = {
  each: "budgets.eachPerson",
  everybody: "budgets.everybody",
  group: "budgets.aGroup",
  eachOf: "budgets.eachOfGroup",
  user: "budgets.aPerson",
} as const;

function BudgetDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const save = useSetBudget();
  const { data: groups = [] } = useQuery(groupsQuery);
  const [who, setWho] = useState<Who>("each");
  const ofGroup = who === "group" || who === "eachOf";

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    save.mutate(budgetOf(new FormData(event.currentTarget), who), { onSuccess: onClose });
  }

  return (
    <Modal title={t("budgets.set")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {save.error && <ErrorNotice error={save.error} />}
        <label className="field">
          <span className="field__label">{t("budgets.for")}</span>
          <select
            className="input"
            value={who}
            onChange={({ target }) => setWho(WHO.find((each) => each === target.value) ?? "each")}
          >
            {WHO.filter((each) => groups.length > 0 || (each !== "group" && each !== "eachOf")).map((each) => (
              <option key={each} value={each}>
                {t(LABELS[each])}
              </option>
            ))}
          </select>
        </label>
        {ofGroup && (
          <label className="field">
            <span className="field__label">{t("budgets.group")}</span>
            <select className="input" name="group_id">
              {groups.map(({ id, name }) => (
                <option key={id} value={id}>
                  {name}
                </option>
              ))}
            </select>
          </label>
        )}
        {who === "user" && (
          <Field label={t("budgets.person")} hint={t("libraries.addPersonHint")} name="username" required />
        )}
        <label className="field">
          <span className="field__label">{t("budgets.period")}</span>
          <select className="input" name="period">
            <option value="day">{t("budgets.day")}</option>
            <option value="month">{t("budgets.month")}</option>
          </select>
        </label>
        <Field label={t("budgets.tokens")} name="tokens" type="number" min={0} step={1} />
        <Field label={t("budgets.requests")} hint={t("budgets.requestsHint")} name="requests" type="number" min={0} step={1} />
        <Field label={t("budgets.money")} hint={t("budgets.moneyHint")} name="money" type="number" min={0} step="any" />
        <FormActions onCancel={onClose} disabled={save.isPending} />
      </form>
    </Modal>
  );
}

/** What the form says, as the server takes it. */
function budgetOf(data: FormData, who: Who): BudgetSet {
  const count = (name: string): number | null => {
    const value = formText(data, name);
    return value === null ? null : Number(value);
  };
  return {
    username: formText(data, "username"),
    group_id: formText(data, "group_id"),
    each: who === "each" || who === "eachOf",
    period: formText(data, "period") === "month" ? "month" : "day",
    tokens: count("tokens"),
    requests: count("requests"),
    money: count("money"),
  };
}
