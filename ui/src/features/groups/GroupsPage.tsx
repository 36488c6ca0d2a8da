import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { groupsQuery } from "@/shared/api/groups";
import { useMe } from "@/shared/api/me";
import { methodsQuery } from "@/shared/api/signIn";
import type { Group, GroupMember } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { AddPerson } from "@/shared/ui/AddPerson";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { formText } from "@/shared/ui/formText";
import { Icon } from "@/shared/ui/Icon";
import { Modal } from "@/shared/ui/Modal";
import { groupMembersQuery, useDeleteGroup, useRemoveGroupMember, useSaveGroup, useSetGroupMember } from "./api";
import "./groups.css";

/** Groups of people: administrators make them, their managers say who is in them. */
export function GroupsPage() {
  const t = useT();
  const me = useMe();
  const { data: groups = [], error, isSuccess } = useQuery(groupsQuery);
  const [editing, setEditing] = useState<Group | "new" | null>(null);
  const [deleting, setDeleting] = useState<Group | null>(null);
  const remove = useDeleteGroup();
  const isAdmin = me?.is_superuser === true;
  return (
    <div className="page-column">
      <div className="library__bar">
        <p>{t("groups.explain")}</p>
        {isAdmin && (
          <Button kind="primary" icon="plus" onClick={() => setEditing("new")}>
            {t("groups.new")}
          </Button>
        )}
      </div>
      {error && <ErrorNotice error={error} />}
      {isSuccess && groups.length === 0 && <p>{t("groups.none")}</p>}
      <ul className="groups" aria-label={t("groups.title")}>
        {groups.map((group) => (
          <GroupItem
            key={group.id}
            group={group}
            isAdmin={isAdmin}
            onEdit={() => setEditing(group)}
            onDelete={() => {
              remove.reset();
              setDeleting(group);
            }}
          />
        ))}
      </ul>
      {editing && <GroupForm group={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
      {deleting && (
        <ConfirmDialog
          title={t("app.deleteTitle", { name: deleting.name })}
          text={t("groups.deleteExplain")}
          work={remove}
          onConfirm={() => remove.mutate(deleting.id, { onSuccess: () => setDeleting(null) })}
          onClose={() => setDeleting(null)}
        />
      )}
    </div>
  );
}

interface GroupItemProps {
  group: Group;
  isAdmin: boolean;
  onEdit: () => void;
  onDelete: () => void;
}

function GroupItem({ group, isAdmin, onEdit, onDelete }: GroupItemProps) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const { id, name, role, members, claim } = group;
  const manages = isAdmin || role === "manager";
  return (
    <li className="group">
      <div className="group__head">
        <Icon name="group" size={18} />
        <h2>{name}</h2>
        <span className="group__count">{t("libraries.members", { count: members })}</span>
        {role && <span className="badge">{t(`groups.role.${role}`)}</span>}
        {claim && <span className="badge badge--marker">{t("groups.ruledBy", { claim })}</span>}
        {(manages || role) && (
          <Button kind="quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
            {t("groups.people")}
          </Button>
        )}
        {isAdmin && (
          <>
            <IconButton small icon="pencil" label={t("groups.edit", { name })} onClick={onEdit} />
            <IconButton small icon="trash" label={t("groups.delete", { name })} onClick={onDelete} />
          </>
        )}
      </div>
      {open && <People groupId={id} manages={manages} />}
    </li>
  );
}

function People({ groupId, manages }: { groupId: string; manages: boolean }) {
  const t = useT();
  const me = useMe();
  const { data: members = [], error } = useQuery(groupMembersQuery(groupId));
  const set = useSetGroupMember(groupId);
  const { mutate: remove } = useRemoveGroupMember(groupId);
  return (
    <div className="group__people">
      {error && <ErrorNotice error={error} />}
      {set.error && <ErrorNotice error={set.error} />}
      <ul className="members" aria-label={t("groups.people")}>
        {members.map((member) => (
          <li key={member.user_id} className="member">
            <Icon name="user" size={18} />
            <span className="member__name">
              {member.username} <small>{member.email}</small>
            </span>
            {manages ? (
              <RoleChoice member={member} onChange={(role) => set.mutate({ user_id: member.user_id, role })} />
            ) : (
              <span className="badge">{t(`groups.role.${member.role}`)}</span>
            )}
            {(manages || member.user_id === me?.id) && (
              <IconButton
                icon={member.user_id === me?.id ? "exit" : "close"}
                label={member.user_id === me?.id ? t("groups.leave") : t("files.remove", { name: member.username })}
                onClick={() => remove(member.user_id)}
              />
            )}
          </li>
        ))}
      </ul>
      {manages && (
        <AddPerson onAdd={(username, onSuccess) => set.mutate({ username, role: "member" }, { onSuccess })} />
      )}
    </div>
  );
}

const ROLES = ["member", "manager"] as const;

function RoleChoice({ member, onChange }: { member: GroupMember; onChange: (role: GroupMember["role"]) => void }) {
  const t = useT();
  return (
    <select
      className="input member__role"
      aria-label={t("libraries.roleOf", { name: member.username })}
      value={member.role}
      onChange={({ target }) => onChange(ROLES.find((each) => each === target.value) ?? "member")}
    >
      {ROLES.map((each) => (
        <option key={each} value={each}>
          {t(`groups.role.${each}`)}
        </option>
      ))}
    </select>
  );
}

/** Make a group, or change its name and by whose word people are in it. */
function GroupForm({ group, onClose }: { group: Group | null; onClose: () => void }) {
  const t = useT();
  const save = useSaveGroup();
  const { data: ways } = useQuery(methodsQuery);
  const providers = ways?.oidc ?? [];

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const ruled = { provider: formText(data, "provider"), claim: formText(data, "claim") };
    const name = formText(data, "name") ?? "";
    save.mutate({ ...(group ? { id: group.id } : {}), name, ...ruled }, { onSuccess: onClose });
  }

  return (
    <Modal title={group ? t("groups.edit", { name: group.name }) : t("groups.new")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {save.error && <ErrorNotice error={save.error} />}
        <Field label={t("groups.name")} name="name" maxLength={100} required defaultValue={group?.name} />
        {providers.length > 0 && (
          <>
            <label className="field">
              <span className="field__label">{t("groups.provider")}</span>
              <select className="input" name="provider" defaultValue={group?.provider ?? ""}>
                <option value="">{t("groups.noProvider")}</option>
                {providers.map(({ name, label }) => (
                  <option key={name} value={name}>
                    {label}
                  </option>
                ))}
              </select>
            </label>
            <Field
              label={t("groups.claim")}
              hint={t("groups.claimHint")}
              name="claim"
              maxLength={255}
              defaultValue={group?.claim ?? ""}
            />
          </>
        )}
        <FormActions onCancel={onClose} disabled={save.isPending} />
      </form>
    </Modal>
  );
}
