import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { DayChart } from "./DayChart";
import type { UserStats } from "@/shared/api/types";
import "./stats.css";

/** Totals, tokens by day, and the models that were used. */
export function StatsView({ stats, users }: { stats: UserStats; users?: number }) {
  const t = useT();
  const { number, bytes, money } = useFormats();
  return (
    <div className="stats">
      <dl className="figures">
        {users !== undefined && <Figure label={t("stats.users")} value={number(users)} />}
        <Figure label={t("stats.conversations")} value={number(stats.conversations)} />
        <Figure label={t("stats.messages")} value={number(stats.messages)} />
        <Figure label={t("stats.files")} value={number(stats.files)} />
        <Figure label={t("stats.bytes")} value={bytes(stats.bytes)} />
        <Figure label={t("stats.tokensIn")} value={number(stats.input_tokens)} />
        <Figure label={t("stats.tokensOut")} value={number(stats.output_tokens)} />
        {stats.cost_usd > 0 && <Figure label={t("stats.cost")} value={money(stats.cost_usd)} />}
      </dl>
      {stats.by_day.length > 0 && <DayChart days={stats.by_day} />}
      {stats.by_model.length > 0 && <Models stats={stats} />}
    </div>
  );
}

export function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div className="figure">
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Models({ stats }: { stats: UserStats }) {
  const t = useT();
  const { number, money } = useFormats();
  return (
    // A wide table scrolls, so the keyboard has to reach it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="table-scroll" tabIndex={0} role="region" aria-label={t("stats.byModel")}>
      <table className="table">
        <caption>{t("stats.byModel")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("stats.model")}</th>
            <th scope="col">{t("stats.answers")}</th>
            <th scope="col">{t("stats.tokensIn")}</th>
            <th scope="col">{t("stats.tokensOut")}</th>
            {stats.cost_usd > 0 && <th scope="col">{t("stats.cost")}</th>}
          </tr>
        </thead>
        <tbody>
          {stats.by_model.map((model) => (
            <tr key={model.model}>
              <th scope="row">{model.model}</th>
              <td>{number(model.answers)}</td>
              <td>{number(model.input_tokens)}</td>
              <td>{number(model.output_tokens)}</td>
              {stats.cost_usd > 0 && <td>{model.cost_usd > 0 ? money(model.cost_usd) : "–"}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
