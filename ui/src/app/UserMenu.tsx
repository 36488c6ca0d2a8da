import { useNavigate } from "@tanstack/react-router";
import { useSignOut } from "@/features/auth/api";
import { useMe } from "@/shared/api/me";
import { useT } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem, MenuLine } from "@/shared/ui/Menu";

/** Who is signed in, and the pages that are not conversations. */
export function UserMenu({ onHelp }: { onHelp: () => void }) {
  const t = useT();
  const me = useMe();
  const navigate = useNavigate();
  const { mutate: signOut } = useSignOut();
  if (!me) return null;
  return (
    <div className="user-menu">
      <Menu
        align="start"
        side="top"
        trigger={
          <button type="button" className="user-menu__button">
            <span className="visually-hidden">{t("nav.user")}: </span>
            <span className="user-menu__initial" aria-hidden="true">
              {me.username.slice(0, 1).toUpperCase()}
            </span>
            <span className="user-menu__name">{me.username}</span>
            <Icon name="dots" size={16} />
          </button>
        }
      >
        <MenuItem icon="folder" onSelect={() => void navigate({ to: "/files" })}>
          {t("nav.files")}
        </MenuItem>
        <MenuItem icon="user" onSelect={() => void navigate({ to: "/account" })}>
          {t("nav.account")}
        </MenuItem>
        <MenuItem icon="group" onSelect={() => void navigate({ to: "/groups" })}>
          {t("groups.title")}
        </MenuItem>
        {me.is_superuser && (
          <MenuItem icon="gauge" onSelect={() => void navigate({ to: "/admin" })}>
            {t("nav.admin")}
          </MenuItem>
        )}
        <MenuItem icon="graph" onSelect={() => void navigate({ to: "/studio/{-$id}", params: {} })}>
          {t("nav.studio")}
        </MenuItem>
        <MenuItem icon="keyboard" onSelect={onHelp}>
          {t("app.keyboard")}
        </MenuItem>
        <MenuLine />
        <MenuItem icon="exit" onSelect={() => signOut()}>
          {t("auth.signOut")}
        </MenuItem>
      </Menu>
    </div>
  );
}
