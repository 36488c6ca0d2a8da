import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import type { BulkAction, User } from "@/shared/api/types";
import { useMe } from "@/shared/api/me";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { StatsView } from "@/shared/stats/StatsView";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";
import { useToast } from "@/shared/ui/Toasts";
import { MoreButton } from "@/shared/ui/MoreButton";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";
import { useBulkUsers, usePatchUser, userUsageQuery, usersQuery, type UserPatch } from "./api";
import { EraseDialog } from "./EraseDialog";
import { PasswordDialog } from "./PasswordDialog";

/** All accounts, and what an administrator may do with each. */
export function Users() {
  const t = useT();
  const [text, setText] = useState("");
  const query = useInfiniteQuery(usersQuery(useDeferredValue(text.trim())));
  const [resetting, setResetting] = useState<User | null>(null);
  const [looking, setLooking] = useState<User | null>(null);
  const [erasing, setErasing] = useState<User | null>(null);
  const [chosen, setChosen] = useState<string[]>([]);
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
          <UserRow
            key={user.id}
            user={user}
            isChosen={chosen.includes(user.id)}
            onChoose={(wanted) => setChosen(wanted ? [...chosen, user.id] : chosen.filter((id) => id !== user.id))}
            onChange={patch.mutate}
            onReset={() => setResetting(user)}
            onUsage={() => setLooking(user)}
            onErase={() => setErasing(user)}
          />
        ))}
      </ul>
      <MoreButton query={query} />
      {chosen.length > 0 && <BulkBar chosen={chosen} onDone={() => setChosen([])} />}
      {looking && <UsageDialog user={looking} onClose={() => setLooking(null)} />}
      {erasing && <EraseDialog user={erasing} onClose={() => setErasing(null)} />}
      {resetting && <PasswordDialog user={resetting} onClose={() => setResetting(null)} />}
    </>
  );
}

const ACTIONS = ["activate", "deactivate", "confirm", "sign_out", "delete"] as const;

/** What is done to all of the accounts that are chosen. */
function BulkBar({ chosen, onDone }: { chosen: string[]; onDone: () => void }) {
  const t = useT();
  const toast = useToast();
  const bulk = useBulkUsers();
  const [deleting, setDeleting] = useState(false);
  const run = (action: BulkAction) =>
    bulk.mutate(
      { user_ids: chosen, action },
      {
        onSuccess: ({ done, failed }) => {
          toast({ text: t("admin.bulkDone", { done: done.length, failed: failed.length }) });
          setDeleting(false);
          onDone();
        },
      },
    );
  return (
    <div className="bulk" role="group" aria-label={t("admin.bulk")}>
      <strong>{t("admin.chosen", { count: chosen.length })}</strong>
      {ACTIONS.map((action) => (
        <Button
          key={action}
          kind={action === "delete" ? "danger" : undefined}
          disabled={bulk.isPending}
          onClick={() => (action === "delete" ? setDeleting(true) : run(action))}
        >
          {t(`admin.bulk.${action}`)}
        </Button>
      ))}
      <Button kind="quiet" onClick={onDone}>
        {t("app.cancel")}
      </Button>
      {bulk.error && !deleting && <ErrorNotice error={bulk.error} />}
      {deleting && (
        <ConfirmDialog
          title={t("admin.bulkDelete", { count: chosen.length })}
          text={t("admin.bulkDeleteExplain")}
          work={bulk}
          onConfirm={() => run("delete")}
          onClose={() => setDeleting(false)}
        />
      )}
    </div>
  );
}

/** What an account has stored and spent. */
function UsageDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const t = useT();
  const { data, error } = useQuery(userUsageQuery(user.id));
  return (
    <Modal title={t("admin.usageOf", { name: user.username })} wide onClose={onClose}>
      {error && <ErrorNotice error={error} />}
      {data && <StatsView stats={data} />}
    </Modal>
  );
}

interface UserRowProps {
  user: User;
  isChosen: boolean;
  onChoose: (wanted: boolean) => void;
  onUsage: () => void;
  onChange: (change: UserPatch) => void;
  onReset: () => void;
  onErase: () => void;
}

function UserRow({ user, isChosen, onChoose, onChange, onReset, onUsage, onErase }: UserRowProps) {
  const t = useT();
  const me = useMe();
  const { date } = useFormats();
  const { id, username, email, is_active: active, is_superuser: superuser, is_verified: verified } = user;
  const self = me?.id === id;
  return (
    <li className="user user--line">
      <input
        type="checkbox"
        aria-label={t("admin.choose", { name: username })}
        checked={isChosen}
        disabled={self}
        onChange={({ target }) => onChoose(target.checked)}
      />
      <span className="user__name">
        <strong>{username}</strong>
        <small>
          {email} · {date(user.created_at)}
        </small>
      </span>
      <span className="user__badges">
        {superuser && <span className="badge">{t("admin.superuser")}</span>}
        <span className={active ? "badge badge--ok" : "badge badge--danger"}>
          {active ? t("admin.active") : t("admin.inactive")}
        </span>
      </span>
      <Menu
        trigger={
          <button type="button" className="icon-button" aria-label={t("admin.actions", { name: username })}>
            <Icon name="dots" />
          </button>
        }
      >
        <MenuItem onSelect={onUsage}>{t("admin.usage")}</MenuItem>
        <MenuItem disabled={self} onSelect={() => onChange({ id, is_active: !active })}>
          {active ? t("admin.deactivate") : t("admin.activate")}
        </MenuItem>
        <MenuItem disabled={self} onSelect={() => onChange({ id, is_superuser: !superuser })}>
          {superuser ? t("admin.demote") : t("admin.promote")}
        </MenuItem>
        <MenuItem onSelect={() => onChange({ id, is_verified: !verified })}>
          {verified ? t("admin.unconfirm") : t("admin.confirm")}
        </MenuItem>
        <MenuItem onSelect={() => onChange({ id, two_factor: false })}>{t("admin.resetTwoFactor")}</MenuItem>
        <MenuItem onSelect={onReset}>{t("admin.reset")}</MenuItem>
        <MenuItem disabled={self} danger onSelect={onErase}>
          {t("erase.menu")}
        </MenuItem>
      </Menu>
    </li>
  );
}
