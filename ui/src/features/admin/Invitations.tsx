import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { groupsQuery } from "@/shared/api/groups";
import type { Invitation } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { at } from "@/shared/root";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field, IconButton } from "@/shared/ui/controls";
import { CopyButton } from "@/shared/ui/CopyButton";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { formText } from "@/shared/ui/formText";
import { Modal } from "@/shared/ui/Modal";
import { invitationsQuery, useInvite, useWithdrawInvitation } from "./api";

/** Links by which people make accounts. */
export function Invitations() {
  const t = useT();
  const { data, error } = useQuery(invitationsQuery);
  const { mutate: withdraw } = useWithdrawInvitation();
  const [inviting, setInviting] = useState(false);
  const items = data?.items ?? [];
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {items.length > 0 && (
        <ul className="users" aria-label={t("invitations.title")}>
          {items.map((invitation) => (
            <Row key={invitation.id} invitation={invitation} onWithdraw={() => withdraw(invitation.id)} />
          ))}
        </ul>
      )}
      <Button icon="plus" onClick={() => setInviting(true)}>
        {t("invitations.new")}
      </Button>
      {inviting && <InviteDialog onClose={() => setInviting(false)} />}
    </>
  );
}

function Row({ invitation, onWithdraw }: { invitation: Invitation; onWithdraw: () => void }) {
  const t = useT();
  const { date } = useFormats();
  const { note, uses_left: left, expires_at: until } = invitation;
  return (
    <li className="user">
      <span className="user__name">
        <strong>{note ?? t("invitations.one")}</strong>
        <small>
          {t("invitations.left", { count: left })} · {t("invitations.until", { date: date(until) })}
        </small>
      </span>
      <IconButton icon="trash" label={t("invitations.withdraw")} onClick={onWithdraw} />
    </li>
  );
}

/** Makes an invitation, and shows its link this once. */
function InviteDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const invite = useInvite();
  const { data: groups = [] } = useQuery(groupsQuery);
  const [groupIds, setGroupIds] = useState<string[]>([]);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    invite.mutate({
      note: formText(data, "note"),
      uses: Number(data.get("uses")),
      group_ids: groupIds,
    });
  }

  if (invite.data) {
    const link = new URL(at(`/sign-in?invitation=${invite.data.token}`), location.href).href;
    return (
      <Modal keeps title={t("invitations.made")} onClose={onClose}>
        <p>{t("invitations.shownOnce")}</p>
        <Field label={t("invitations.link")} value={link} readOnly onFocus={({ target }) => target.select()} />
        <div className="dialog__actions">
          <CopyButton text={link} label={t("chat.copy")} />
          <Button kind="primary" onClick={onClose}>
            {t("app.close")}
          </Button>
        </div>
      </Modal>
    );
  }
  return (
    <Modal keeps={invite.isPending} title={t("invitations.new")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {invite.error && <ErrorNotice error={invite.error} />}
        <Field label={t("invitations.note")} name="note" maxLength={100} />
        <Field label={t("invitations.uses")} name="uses" type="number" min={1} max={10_000} defaultValue={1} required />
        {groups.length > 0 && (
          <fieldset className="choices choices--list">
            <legend>{t("invitations.groups")}</legend>
            {groups.map(({ id, name }) => (
              <label key={id} className="choice">
                <input
                  type="checkbox"
                  checked={groupIds.includes(id)}
                  onChange={({ target }) =>
                    setGroupIds(target.checked ? [...groupIds, id] : groupIds.filter((other) => other !== id))
                  }
                />
                {name}
              </label>
            ))}
          </fieldset>
        )}
        <FormActions onCancel={onClose} action={t("invitations.make")} disabled={invite.isPending} />
      </form>
    </Modal>
  );
}
