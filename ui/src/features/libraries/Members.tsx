import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { groupsQuery } from "@/shared/api/groups";
import { useMe } from "@/shared/api/me";
import type { Group, Library, LibraryMember, LibraryMemberSet } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { AddPerson } from "@/shared/ui/AddPerson";
import { Button, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { libraryMembersQuery, useRemoveMember, useSetMember } from "./api";

const ROLES = ["viewer", "editor"] as const;

/** Who sees a library, and what they may do there; editors change it, everybody may leave. */
export function Members({ library, onLeft }: { library: Library; onLeft: () => void }) {
  const t = useT();
  const me = useMe();
  const { data: members = [], error } = useQuery(libraryMembersQuery(library.id));
  const set = useSetMember(library.id);
  const { mutate: remove } = useRemoveMember(library.id);
  const edits = library.role === "editor";
  const isMine = (member: LibraryMember) => member.user_id === me?.id;
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {set.error && <ErrorNotice error={set.error} />}
      <ul className="members" aria-label={t("libraries.people")}>
        {members.map((member) => (
          <li key={member.id} className="member">
            <Icon name={member.kind === "group" ? "group" : "user"} size={18} />
            <span className="member__name">
              {member.name}
              {isMine(member) && <small> {t("libraries.you")}</small>}
            </span>
            <Rights member={member} edits={edits} onChange={set.mutate} />
            {edits || isMine(member) ? (
              <IconButton
                icon={isMine(member) ? "exit" : "close"}
                label={isMine(member) ? t("libraries.leave") : t("files.remove", { name: member.name })}
                onClick={() =>
                  remove(member.id, {
                    onSuccess: () => {
                      if (isMine(member)) onLeft();
                    },
                  })
                }
              />
            ) : (
              <span />
            )}
          </li>
        ))}
      </ul>
      {edits && <AddMember members={members} onAdd={set.mutate} />}
    </>
  );
}

interface RightsProps {
  member: LibraryMember;
  edits: boolean;
  onChange: (member: LibraryMemberSet) => void;
}

function Rights({ member, edits, onChange }: RightsProps) {
  const t = useT();
  const { name, role, is_default: isDefault } = member;
  const who = member.group_id ? { group_id: member.group_id } : { user_id: member.user_id };
  if (!edits)
    return (
      <span className="library-marks">
        <span className="badge">{t(`libraries.role.${role}`)}</span>
        {isDefault && <span className="badge badge--marker">{t("libraries.default")}</span>}
      </span>
    );
  return (
    <span className="member__rights">
      <select
        className="input"
        aria-label={t("libraries.roleOf", { name })}
        value={role}
        onChange={({ target }) =>
          onChange({ ...who, role: ROLES.find((each) => each === target.value) ?? "viewer", is_default: isDefault })
        }
      >
        {ROLES.map((each) => (
          <option key={each} value={each}>
            {t(`libraries.role.${each}`)}
          </option>
        ))}
      </select>
      <label className="check">
        <input
          type="checkbox"
          checked={isDefault}
          aria-label={t("libraries.defaultOf", { name })}
          onChange={({ target }) => onChange({ ...who, role, is_default: target.checked })}
        />
        {t("libraries.default")}
      </label>
    </span>
  );
}

interface AddMemberProps {
  members: LibraryMember[];
  onAdd: (member: LibraryMemberSet, then: { onSuccess: () => void }) => void;
}

/** Lets in a group, or a person by their exact name or address. */
function AddMember({ members, onAdd }: AddMemberProps) {
  const { data: groups = [] } = useQuery(groupsQuery);
  const others = groups.filter(({ id }) => members.every((member) => member.group_id !== id));
  return (
    <div className="member-forms">
      <AddPerson onAdd={(username, onSuccess) => onAdd({ username }, { onSuccess })} />
      {others.length > 0 && <AddGroup groups={others} onAdd={(id, onSuccess) => onAdd({ group_id: id }, { onSuccess })} />}
    </div>
  );
}

interface AddGroupProps {
  groups: Group[];
  onAdd: (groupId: string, onAdded: () => void) => void;
}

/** Adds a group, by a button: an arrow key on a closed list chooses already. */
function AddGroup({ groups, onAdd }: AddGroupProps) {
  const t = useT();
  const [chosen, setChosen] = useState("");
  return (
    <form
      className="member-form"
      onSubmit={(event) => {
        event.preventDefault();
        onAdd(chosen, () => setChosen(""));
      }}
    >
      <label className="field">
        <span className="field__label">{t("libraries.addGroup")}</span>
        <select className="input" value={chosen} onChange={({ target }) => setChosen(target.value)}>
          <option value="">{t("libraries.chooseGroup")}</option>
          {groups.map((group) => (
            <option key={group.id} value={group.id}>
              {group.name}
            </option>
          ))}
        </select>
      </label>
      <Button type="submit" icon="plus" disabled={chosen === ""}>
        {t("libraries.letGroupIn")}
      </Button>
    </form>
  );
}
