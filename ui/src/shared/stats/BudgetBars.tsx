import { useQuery } from "@tanstack/react-query";
import { budgetLeftQuery, usedShare } from "@/shared/api/budgets";
import type { BudgetLeft } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ProgressBar } from "@/shared/ui/controls";
import "./stats.css";

/** From this share on, one is told in the chat, before it hurts. */
const NEARLY_USED = 0.8;

/** What one may still spend on models; nothing where nothing limits one. */
export function BudgetBars() {
  const { data: budgets = [] } = useQuery(budgetLeftQuery);
  if (budgets.length === 0) return null;
  return (
    <ul className="budgets">
      {budgets.map((budget) => (
        <li key={`${budget.scope} ${budget.name ?? ""} ${budget.each} ${budget.period}`}>
          <BudgetBar budget={budget} />
        </li>
      ))}
    </ul>
  );
}

/** A budget: whose, how much of it is used, when it starts anew. */
export function BudgetBar({ budget }: { budget: BudgetLeft }) {
  const t = useT();
  const { number, money, date } = useFormats();
  const name = useBudgetName(budget);
  const parts = [
    budget.tokens !== null && t("budgets.tokensOf", { used: number(budget.used_tokens), limit: number(budget.tokens) }),
    budget.requests !== null &&
      t("budgets.requestsOf", { used: number(budget.used_requests), limit: number(budget.requests) }),
    budget.money !== null && t("budgets.moneyOf", { used: money(budget.used_money), limit: money(budget.money) }),
  ].filter(Boolean);
  return (
    <div className="budget">
      <strong>{name}</strong>
      <ProgressBar share={usedShare(budget)} label={name} />
      <small>
        {parts.join(" · ")} · {t("budgets.startsAnew", { date: date(budget.starts_anew) })}
      </small>
    </div>
  );
}

function useBudgetName({ scope, name, each, period }: BudgetLeft): string {
  const t = useT();
  const whose =
    scope === "everybody" ? t(each ? "budgets.eachPerson" : "budgets.everybody") : (name ?? t("budgets.yours"));
  const of = scope === "group" && each ? t("budgets.eachOf", { name: whose }) : whose;
  return t(period === "day" ? "budgets.aDay" : "budgets.aMonth", { name: of });
}

/** Says above the composer that a budget is nearly or wholly used. */
export function BudgetNotice() {
  const t = useT();
  const { date } = useFormats();
  const { data: budgets = [] } = useQuery(budgetLeftQuery);
  const worst = budgets.reduce<BudgetLeft | null>(
    (most, budget) => (most === null || usedShare(budget) > usedShare(most) ? budget : most),
    null,
  );
  if (worst === null || usedShare(worst) < NEARLY_USED) return null;
  const percent = Math.min(100, Math.floor(usedShare(worst) * 100));
  return (
    <p className="notice" role="status">
      {t("budgets.nearly", { percent, date: date(worst.starts_anew) })}
    </p>
  );
}
