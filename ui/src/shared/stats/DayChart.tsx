import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import type { UserStats } from "@/shared/api/types";

const WIDTH = 640;
const HEIGHT = 140;
const GAP = 0.25;

/** Tokens by day as stacked columns; the figures are there as a table for who can't see them. */
export function DayChart({ days }: { days: UserStats["by_day"] }) {
  const t = useT();
  const { date, number } = useFormats();
  const most = Math.max(1, ...days.map((day) => day.input_tokens + day.output_tokens));
  const step = WIDTH / Math.max(days.length, 7);
  const tall = (tokens: number): number => (tokens / most) * HEIGHT;
  return (
    <figure className="chart">
      <figcaption>
        {t("stats.byDay")}
        <span className="chart__key chart__key--in">{t("stats.tokensIn")}</span>
        <span className="chart__key chart__key--out">{t("stats.tokensOut")}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {days.map((day, index) => {
          const x = index * step + (step * GAP) / 2;
          const [read, written] = [tall(day.input_tokens), tall(day.output_tokens)];
          return (
            <g key={day.day}>
              <rect x={x} y={HEIGHT - read} width={step * (1 - GAP)} height={read} className="chart__in" />
              <rect x={x} y={HEIGHT - read - written} width={step * (1 - GAP)} height={written} className="chart__out" />
            </g>
          );
        })}
      </svg>
      <div className="chart__axis" aria-hidden="true">
        <span>{days[0] && date(days[0].day)}</span>
        <span>{number(most)}</span>
        <span>{date(days.at(-1)?.day ?? "")}</span>
      </div>
      <table className="visually-hidden">
        <caption>{t("stats.byDay")}</caption>
        <tbody>
          {days.map((day) => (
            <tr key={day.day}>
              <th scope="row">{date(day.day)}</th>
              <td>{number(day.input_tokens)}</td>
              <td>{number(day.output_tokens)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}
