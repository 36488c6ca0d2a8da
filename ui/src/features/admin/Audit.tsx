import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import type { AuditEntry } from "@/shared/api/types";
import { useT, type Key } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { at } from "@/shared/root";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { MoreButton } from "@/shared/ui/MoreButton";
import { ACTIONS, auditQuery, type AuditAction, type AuditFilter } from "./api";

const NO_FILTER: AuditFilter = { actor: "", action: "", from: "", to: "" };

/** No cast: an action that has no words is an error of the types. */
const labelOf = (action: AuditAction): Key => `audit.${action}`;

/** Who did what, on what, from where, when; filtered, and as a file. */
export function Audit() {
  const t = useT();
  const [filter, setFilter] = useState(NO_FILTER);
  const set = (part: Partial<AuditFilter>) => setFilter((known) => ({ ...known, ...part }));
  const wanted = useDeferredValue(filter);
  const query = useInfiniteQuery(auditQuery(wanted));
  const rows = query.data?.pages.flatMap((page) => page.items) ?? [];
  const file = new URLSearchParams({ ...given(wanted), format: "ndjson" });
  return (
    <>
      <form className="audit__filter" onSubmit={(event) => event.preventDefault()}>
        <input
          className="input"
          type="search"
          aria-label={t("audit.actor")}
          placeholder={t("audit.actor")}
          value={filter.actor}
          onChange={({ target }) => set({ actor: target.value })}
        />
        <select
          className="input"
          aria-label={t("audit.action")}
          value={filter.action}
          onChange={({ target }) => set({ action: ACTIONS.find((each) => each === target.value) ?? "" })}
        >
          <option value="">{t("audit.anyAction")}</option>
          {ACTIONS.map((action) => (
            <option key={action} value={action}>
              {t(labelOf(action))}
            </option>
          ))}
        </select>
        <label>
          <span className="visually-hidden">{t("audit.from")}</span>
          <input className="input" type="date" value={filter.from} onChange={({ target }) => set({ from: target.value })} />
        </label>
        <label>
          <span className="visually-hidden">{t("audit.to")}</span>
          <input className="input" type="date" value={filter.to} onChange={({ target }) => set({ to: target.value })} />
        </label>
        <a className="button" href={at(`/api/v1/admin/audit?${file}`)} download>
          {t("audit.download")}
        </a>
      </form>
      {query.error && <ErrorNotice error={query.error} />}
      {query.isSuccess && rows.length === 0 && <p>{t("audit.none")}</p>}
      {rows.length > 0 && (
        // A wide table scrolls, so the keyboard has to reach it.
        // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <div className="table-scroll" tabIndex={0} role="region" aria-label={t("audit.entries")}>
          <table className="table audit">
            <thead>
              <tr>
                <th scope="col">{t("audit.when")}</th>
                <th scope="col">{t("audit.who")}</th>
                <th scope="col">{t("audit.what")}</th>
                <th scope="col">{t("audit.where")}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <Entry key={row.id} row={row} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <MoreButton query={query} />
    </>
  );
}

function Entry({ row }: { row: AuditEntry }) {
  const t = useT();
  const { dateTime } = useFormats();
  const details = Object.entries(row.details).map(([name, value]) => `${name}: ${text(value)}`);
  return (
    <tr>
      <td>
        <time dateTime={row.at}>{dateTime(row.at)}</time>
      </td>
      <td>{row.actor ?? "–"}</td>
      <td className="audit__what">
        {t(labelOf(row.action))}
        {row.object_id && (
          <small>
            {row.object_kind} {row.object_id}
          </small>
        )}
        {details.length > 0 && <small>{details.join(", ")}</small>}
      </td>
      <td>{row.ip ?? "–"}</td>
    </tr>
  );
}

const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** The parts of a filter that are filled in. */
export const given = (filter: AuditFilter): Record<string, string> =>
  Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== ""));
