import { sourceName } from "@/shared/api/sources";
import type { SystemStats } from "@/shared/api/types";
import { useT, type Key, type Translate } from "@/shared/i18n";
import { en } from "@/shared/i18n/en";
import { useFormats } from "@/shared/i18n/format";

/** Providers, queue, index and database, each as far as the server tells of it. */
export function Health({ stats }: { stats: SystemStats }) {
  const t = useT();
  const { dateTime } = useFormats();
  const { engine, ...index } = stats.index;
  return (
    <div className="health">
      <Providers providers={stats.providers} />
      <Facts title={t("admin.queue")} facts={{ [t("admin.running")]: stats.running, ...stats.queue }} />
      <Facts title={`${t("admin.index")}: ${engine}`} facts={index} />
      <Facts
        title={t("admin.sizes")}
        unit="bytes"
        facts={{ ...stats.sizes, [t("admin.perTurn")]: stats.checkpoint_bytes_per_turn }}
      />
      <p className="health__since">
        {t("admin.started")} {dateTime(stats.started_at)}
      </p>
    </div>
  );
}

function Providers({ providers }: { providers: SystemStats["providers"] }) {
  const t = useT();
  const { duration } = useFormats();
  return (
    <section className="card">
      <h3>{t("admin.providers")}</h3>
      <ul className="card__list">
        {Object.entries(providers).map(([source, { available, latency_ms, error }]) => (
          <li key={source}>
            <span>{sourceName(t, source)}</span>
            <span className={available ? "badge badge--ok" : "badge badge--danger"} title={error ?? undefined}>
              {available ? t("models.available") : t("models.unavailable")}
              {available && latency_ms != null && ` · ${duration(latency_ms)}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface FactsProps {
  title: string;
  facts: Record<string, number | null | undefined>;
  unit?: "bytes";
}

function factName(t: Translate, name: string): string {
  const key = `fact.${name}`;
  return key in en ? t(key as Key) : name.replaceAll("_", " ");
}

function Facts({ title, facts, unit }: FactsProps) {
  const t = useT();
  const formats = useFormats();
  const show = (value: number | null | undefined): string => {
    if (value == null) return "–";
    return unit === "bytes" ? formats.bytes(value) : formats.number(value);
  };
  return (
    <section className="card">
      <h3>{title}</h3>
      <ul className="card__list">
        {Object.entries(facts).map(([name, value]) => (
          <li key={name}>
            <span>{factName(t, name)}</span>
            <span>{show(value)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
