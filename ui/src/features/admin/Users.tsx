import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import type { User } from "@/shared/api/types";
import { useMe } from "@/shared/api/me";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { MoreButton } from "@/shared/ui/MoreButton";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";
import { usePatchUser, usersQuery, type UserPatch } from "./api";
import { PasswordDialog } from "./PasswordDialog";

/** All accounts, and what an administrator may do with each. */
export function Users() {
  const t = useT();
  const [text, setText] = useState("");
  const query = useInfiniteQuery(usersQuery(useDeferredValue(text.trim())));
  const [resetting, setResetting] = useState<User | null>(null);
  const patch = usePatchUser();
  const users = query.data?.pages.flatMap((page) => page.items) ?? [];
  const error = query.error ?? patch.error;
  return (
    <>
      <input
        className="input users__search"
        type="search"
        aria-label={t("admin.search")}
        placeholder={t("admin.search")}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      {error && <ErrorNotice error={error} />}
      <ul className="users">
        {users.map((user) => (
          <UserRow key={user.id} user={user} onChange={patch.mutate} onReset={() => setResetting(user)} />
        ))}
      </ul>
      <MoreButton query={query} />
      {resetting && <PasswordDialog user={resetting} onClose={() => setResetting(null)} />}
    </>
  );
}

interface UserRowProps {
  user: User;
  onChange: (change: UserPatch) => void;
  onReset: () => void;
}

function UserRow({ user, onChange, onReset }: UserRowProps) {
  const t = useT();
  const me = useMe();
  const { date } = useFormats();
  const { id, username, email, is_active: active, is_superuser: superuser } = user;
  const self = me?.id === id;
  return (
    <li className="user">
      <span className="user__name">
        <strong>{username}</strong>
        <small>
          {email} · {date(user.created_at)}
        </small>
      </span>
      {superuser && <span className="badge">{t("admin.superuser")}</span>}
      <span className={active ? "badge badge--ok" : "badge badge--danger"}>
        {active ? t("admin.active") : t("admin.inactive")}
      </span>
      <Menu
        trigger={
          <button type="button" className="icon-button" aria-label={t("admin.actions", { name: username })}>
            <Icon name="dots" />
          </button>
        }
      >
        <MenuItem disabled={self} onSelect={() => onChange({ id, is_active: !active })}>
          {active ? t("admin.deactivate") : t("admin.activate")}
        </MenuItem>
        <MenuItem disabled={self} onSelect={() => onChange({ id, is_superuser: !superuser })}>
          {superuser ? t("admin.demote") : t("admin.promote")}
        </MenuItem>
        <MenuItem onSelect={() => onChange({ id, two_factor: false })}>{t("admin.resetTwoFactor")}</MenuItem>
        <MenuItem onSelect={onReset}>{t("admin.reset")}</MenuItem>
      </Menu>
    </li>
  );
}
