import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { announcementsQuery } from "@/shared/api/announcements";
import { useT } from "@/shared/i18n";
import { Button, IconButton, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useAnnounce, useTakeBack } from "./api";

/** Tells everybody something above every page, and takes it back. */
export function Announce() {
  const t = useT();
  const { data: announcements = [] } = useQuery(announcementsQuery);
  const announce = useAnnounce();
  const { mutate: takeBack } = useTakeBack();
  const [text, setText] = useState("");
  const [warning, setWarning] = useState(false);
  return (
    <>
      {announcements.length > 0 && (
        <ul className="users" aria-label={t("announcements.title")}>
          {announcements.map((each) => (
            <li key={each.id} className="user">
              <span className="user__name">{each.text}</span>
              <IconButton icon="trash" label={t("announcements.takeBack")} onClick={() => takeBack(each.id)} />
            </li>
          ))}
        </ul>
      )}
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          announce.mutate({ text, is_warning: warning }, { onSuccess: () => setText("") });
        }}
      >
        {announce.error && <ErrorNotice error={announce.error} />}
        <TextArea
          label={t("announcements.text")}
          rows={2}
          maxLength={500}
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <label className="check">
          <input type="checkbox" checked={warning} onChange={({ target }) => setWarning(target.checked)} />
          {t("announcements.warning")}
        </label>
        <div className="dialog__actions">
          <Button type="submit" disabled={announce.isPending || text.trim() === ""}>
            {t("announcements.tell")}
          </Button>
        </div>
      </form>
    </>
  );
}
