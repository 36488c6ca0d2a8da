import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useMe } from "@/shared/api/me";
import { LANGUAGES, useI18n, useT, type Language } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { BudgetBars } from "@/shared/stats/BudgetBars";
import { StatsView } from "@/shared/stats/StatsView";
import { notificationsExist, useNotifications } from "@/shared/notify";
import { setTheme, THEMES, useTheme } from "@/shared/theme";
import { methodsQuery } from "@/shared/api/signIn";
import { statsQuery } from "@/shared/api/stats";
import { ApiKeys } from "./ApiKeys";
import { waysToSignInQuery } from "./api";
import { Data } from "./Data";
import { Identities } from "./Identities";
import { Password } from "./Password";
import { Personal } from "./Personal";
import { Sessions } from "./Sessions";
import { TwoFactor } from "./TwoFactor";
import "./account.css";

/** Who one is here, how the page looks, one's sessions, figures and data. */
export function AccountPage({ problem }: { problem?: string }) {
  const t = useT();
  const { data: stats } = useQuery(statsQuery);
  const { data: ways } = useQuery(waysToSignInQuery);
  const { data: methods } = useQuery(methodsQuery);
  const hasPassword = Boolean(ways?.has_password && methods?.password);
  return (
    <div className="account page-column">
      <Section title={t("account.profile")}>
        <Profile />
      </Section>
      <Section title={t("account.appearance")}>
        <Appearance />
      </Section>
      <Section title={t("personal.title")}>
        <Personal />
      </Section>
      {ways && methods && (methods.oidc.length > 0 || ways.identities.length > 0) && (
        <Section title={t("account.identities")}>
          <Identities ways={ways} problem={problem} />
        </Section>
      )}
      {hasPassword && (
        <Section title={t("account.changePassword")}>
          <Password />
        </Section>
      )}
      {ways && hasPassword && (
        <Section title={t("twoFactor.title")}>
          <TwoFactor ways={ways} />
        </Section>
      )}
      <Section title={t("account.sessions")}>
        <Sessions />
      </Section>
      <Section title={t("keys.title")}>
        <ApiKeys />
      </Section>
      {stats && (
        <Section title={t("account.usage")}>
          <BudgetBars />
          <StatsView stats={stats} />
        </Section>
      )}
      <Section title={t("account.data")}>
        <Data hasPassword={ways?.has_password ?? true} />
      </Section>
    </div>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="account__section">
      <h2>{title}</h2>
      <div className="account__content">{children}</div>
    </section>
  );
}

function Profile() {
  const t = useT();
  const me = useMe();
  const { date } = useFormats();
  if (!me) return null;
  return (
    <p>
      <strong>{me.username}</strong>
      {me.is_superuser && <span className="badge"> {t("admin.superuser")}</span>}
      <br />
      {me.email}
      <br />
      <small>{t("account.since", { date: date(me.created_at) })}</small>
    </p>
  );
}

/** Whether the system tells of answers that are ready while the page is out of sight. */
function Notifications() {
  const t = useT();
  const [on, setOn] = useNotifications();
  if (!notificationsExist) return null;
  return (
    <label className="check">
      <input type="checkbox" checked={on === "on"} onChange={({ target }) => void setOn(target.checked)} />
      <span>
        {t("account.notify")}
        {on === "refused" && <small className="field__hint"> {t("account.notifyRefused")}</small>}
      </span>
    </label>
  );
}

function Appearance() {
  const { t, chosen, setLanguage } = useI18n();
  const theme = useTheme();
  return (
    <>
      <fieldset className="choices">
        <legend>{t("account.theme")}</legend>
        {THEMES.map((value) => (
          <label key={value} className="choice">
            <input type="radio" name="theme" checked={theme === value} onChange={() => setTheme(value)} />
            {t(`theme.${value}`)}
          </label>
        ))}
      </fieldset>
      <fieldset className="choices">
        <legend>{t("account.language")}</legend>
        {(Object.keys(LANGUAGES) as Language[]).map((value) => (
          <label key={value} className="choice" lang={value}>
            <input type="radio" name="language" checked={chosen === value} onChange={() => setLanguage(value)} />
            {LANGUAGES[value]}
          </label>
        ))}
      </fieldset>
      <Notifications />
    </>
  );
}
