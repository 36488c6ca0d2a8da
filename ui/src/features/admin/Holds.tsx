import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import type { Hold, HoldCreate } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button, Field, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { FormActions } from "@/shared/ui/FormActions";
import { formText } from "@/shared/ui/formText";
import { Modal } from "@/shared/ui/Modal";
import { holdsQuery, usePlaceHold, useReleaseHold } from "./retention";

/** People and chats of which nothing may be deleted. */
export function Holds() {
  const t = useT();
  const { data, error } = useQuery(holdsQuery);
  const release = useReleaseHold();
  const [placing, setPlacing] = useState(false);
  const [releasing, setReleasing] = useState<Hold | null>(null);
  const items = data?.items ?? [];
  return (
    <>
      <h3>{t("holds.title")}</h3>
      <p>{t("holds.explain")}</p>
      {error && <ErrorNotice error={error} />}
      {items.length > 0 && (
        <ul className="users" aria-label={t("holds.title")}>
          {items.map((hold) => (
            <Row key={hold.id} hold={hold} onRelease={() => setReleasing(hold)} />
          ))}
        </ul>
      )}
      <Button icon="plus" onClick={() => setPlacing(true)}>
        {t("holds.place")}
      </Button>
      {placing && <HoldDialog onClose={() => setPlacing(false)} />}
      {releasing && (
        <ConfirmDialog
          title={t("holds.releaseAsk", { name: nameOf(releasing) })}
          text={t("holds.releaseExplain")}
          action={t("holds.release")}
          work={release}
          onConfirm={() => release.mutate(releasing.id, { onSuccess: () => setReleasing(null) })}
          onClose={() => setReleasing(null)}
        />
      )}
    </>
  );
}

const nameOf = ({ name, conversation_id: chat }: Hold): string => name ?? chat ?? "";

function Row({ hold, onRelease }: { hold: Hold; onRelease: () => void }) {
  const t = useT();
  const { date } = useFormats();
  return (
    <li className="user">
      <span className="user__name">
        <strong>
          {hold.conversation_id ? t("holds.chatOf", { name: nameOf(hold) }) : nameOf(hold)}
        </strong>
        <small>
          {hold.reason} · {date(hold.created_at)}
          {hold.placed_by && ` · ${hold.placed_by}`}
          {hold.conversation_id && ` · ${hold.conversation_id}`}
        </small>
      </span>
      <IconButton icon="trash" label={t("holds.release")} onClick={onRelease} />
    </li>
  );
}

function HoldDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const place = usePlaceHold();
  const [onChat, setOnChat] = useState(false);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    place.mutate(holdOf(new FormData(event.currentTarget)), { onSuccess: onClose });
  }

  return (
    <Modal title={t("holds.place")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {place.error && <ErrorNotice error={place.error} />}
        <label className="field">
          <span className="field__label">{t("holds.on")}</span>
          <select
            className="input"
            value={onChat ? "chat" : "person"}
            onChange={({ target }) => setOnChat(target.value === "chat")}
          >
            <option value="person">{t("holds.aPerson")}</option>
            <option value="chat">{t("holds.aChat")}</option>
          </select>
        </label>
        {onChat ? (
          <Field label={t("holds.chatId")} hint={t("holds.chatIdHint")} name="conversation_id" required />
        ) : (
          <Field label={t("budgets.person")} hint={t("libraries.addPersonHint")} name="username" required />
        )}
        <Field label={t("holds.reason")} name="reason" maxLength={400} required />
        <FormActions onCancel={onClose} action={t("holds.place")} disabled={place.isPending} />
      </form>
    </Modal>
  );
}

/** What the form says, as the server takes it; of a chat's address, its id. */
function holdOf(data: FormData): HoldCreate {
  const chat = formText(data, "conversation_id");
  return {
    username: formText(data, "username"),
    conversation_id: chat && (/[0-9a-f-]{36}/i.exec(chat)?.[0] ?? chat),
    reason: formText(data, "reason") ?? "",
  };
}
