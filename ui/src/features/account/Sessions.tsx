import { useQuery } from "@tanstack/react-query";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { sessionsQuery, useEndAllSessions, useEndSession } from "./api";

/** Where one is signed in; each can be ended, or all at once. */
export function Sessions() {
  const t = useT();
  const { dateTime } = useFormats();
  const { data, error } = useQuery(sessionsQuery);
  const { mutate: end } = useEndSession();
  const { mutate: endAll } = useEndAllSessions();
  if (error) return <ErrorNotice error={error} />;
  return (
    <>
      <ul className="sessions">
        {data?.items.map((session) => (
          <li key={session.id} className="session">
            <span className="session__text">
              {browserOf(session.user_agent)}
              <small>
                {[session.ip, t("account.lastSeen", { time: dateTime(session.last_seen_at) })].filter(Boolean).join(" · ")}
              </small>
            </span>
            {session.current ? (
              <span className="badge badge--ok">{t("account.thisSession")}</span>
            ) : (
              <Button onClick={() => end(session.id)}>{t("account.endSession")}</Button>
            )}
          </li>
        ))}
      </ul>
      <Button onClick={() => endAll()}>{t("account.endAll")}</Button>
    </>
  );
}

const BROWSERS = ["Firefox", "Edg", "OPR", "Chrome", "Safari", "curl", "python"];
const SYSTEMS = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"];

/** A short name for a user agent, which says everything else too. */
export function browserOf(userAgent: string | null | undefined): string {
  if (!userAgent) return "—";
  const found = [BROWSERS, SYSTEMS].map((names) => names.find((name) => userAgent.includes(name)));
  return found.filter(Boolean).join(", ").replace("Edg", "Edge").replace("OPR", "Opera") || userAgent.slice(0, 60);
}
