import { useQuery } from "@tanstack/react-query";
import { announcementsQuery } from "@/shared/api/announcements";
import { useStored } from "@/shared/hooks/useStored";
import { useT } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { Icon } from "@/shared/ui/Icon";

/** What administrators tell everybody, until one has put it away in this browser. */
export function Announcements() {
  const t = useT();
  const { data: announcements = [] } = useQuery(announcementsQuery);
  const [stored, store] = useStored("announcements:read", "");
  const read = stored.split(" ");
  const shown = announcements.filter(({ id }) => !read.includes(id));
  if (shown.length === 0) return null;
  // Only those that are still told are remembered.
  const put = (away: string) =>
    store([...announcements.filter(({ id }) => read.includes(id)).map(({ id }) => id), away].join(" "));
  return (
    <section className="announcements" aria-label={t("announcements.title")}>
      {shown.map(({ id, text, is_warning: warning }) => (
        <p key={id} className={`announcement ${warning ? "announcement--warning" : ""}`}>
          <Icon name={warning ? "warn" : "chat"} size={16} />
          <span>{text}</span>
          <IconButton small icon="close" label={t("announcements.putAway")} onClick={() => put(id)} />
        </p>
      ))}
    </section>
  );
}
