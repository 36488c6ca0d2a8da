import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ApiError } from "@/shared/api/errors";
import { useMe } from "@/shared/api/me";
import { useT } from "@/shared/i18n";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { StatsView } from "@/shared/stats/StatsView";
import { systemQuery } from "./api";
import { AllLibraries } from "./AllLibraries";
import { Announce } from "./Announce";
import { Audit } from "./Audit";
import { Budgets } from "./Budgets";
import { Errors } from "./Errors";
import { Feedback } from "./Feedback";
import { Holds } from "./Holds";
import { Invitations } from "./Invitations";
import { Health } from "./Health";
import { McpServers } from "./McpServers";
import { ModelPrices } from "./ModelPrices";
import { ModelRules } from "./ModelRules";
import { Retention } from "./Retention";
import { Users } from "./Users";
import "./admin.css";

/** Users, the system's figures and its health; for administrators. `secondFactor` leads to where one is set up. */
export function AdminPage({ secondFactor }: { secondFactor: ReactNode }) {
  const t = useT();
  const me = useMe();
  const { data, error } = useQuery({ ...systemQuery, enabled: me?.is_superuser === true });
  if (me && !me.is_superuser) return <p className="page-message">{t("admin.forbidden")}</p>;
  if (error instanceof ApiError && error.code === "second_factor_required")
    return (
      <div className="page-message">
        <ErrorNotice error={error} />
        {secondFactor}
      </div>
    );
  return (
    <div className="admin">
      <section aria-label={t("admin.users")}>
        <h2>{t("admin.users")}</h2>
        <Users />
        <Invitations />
      </section>
      <section aria-label={t("announcements.title")}>
        <h2>{t("announcements.title")}</h2>
        <Announce />
      </section>
      <section aria-label={t("libraries.all")}>
        <h2>{t("libraries.all")}</h2>
        <AllLibraries />
      </section>
      <section aria-label={t("budgets.title")}>
        <h2>{t("budgets.title")}</h2>
        <Budgets />
      </section>
      <section aria-label={t("modelRules.title")}>
        <h2>{t("modelRules.title")}</h2>
        <ModelRules />
        <ModelPrices />
      </section>
      <section aria-label={t("retention.title")}>
        <h2>{t("retention.title")}</h2>
        <Retention />
        <Holds />
      </section>
      <section aria-label={t("mcp.title")}>
        <h2>{t("mcp.title")}</h2>
        <McpServers />
      </section>
      <section aria-label={t("audit.title")}>
        <h2>{t("audit.title")}</h2>
        <Audit />
      </section>
      <section aria-label={t("admin.feedback")}>
        <h2>{t("admin.feedback")}</h2>
        <Feedback />
      </section>
      <section aria-label={t("admin.errors")}>
        <h2>{t("admin.errors")}</h2>
        <Errors />
      </section>
      <section aria-label={t("admin.system")}>
        <h2>{t("admin.system")}</h2>
        {error && <ErrorNotice error={error} />}
        {data && <Health stats={data} />}
        {data && <StatsView stats={data} users={data.users} />}
      </section>
    </div>
  );
}
