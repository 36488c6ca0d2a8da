import type { UseMutationResult, UseQueryResult } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useMe } from "@/shared/api/me";
import { useT } from "@/shared/i18n";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";

/** What people save for themselves and may share with everybody. */
export interface Saved {
  id: string;
  shared: boolean;
  owner: string;
  is_owner: boolean;
}

interface SavedPageProps<Item extends Saved> {
  query: UseQueryResult<Item[]>;
  texts: { title: string; explain: string; make: string; none: string };
  nameOf: (item: Item) => string;
  /** Draws one of them, with the menu of what may be done with it. */
  card: (item: Item, menu: ReactNode) => ReactNode;
  /** Draws the form that changes one, or makes a new one for null. */
  form: (item: Item | null, onClose: () => void) => ReactNode;
  remove: UseMutationResult<unknown, Error, string>;
  removeText?: string;
}

/** One's own saved things and those that others share. */
export function SavedPage<Item extends Saved>(props: SavedPageProps<Item>) {
  const { query, texts, nameOf, card, form, remove, removeText } = props;
  const t = useT();
  const { data: items = [], error, isSuccess } = query;
  const [editing, setEditing] = useState<Item | "new" | null>(null);
  const [deleting, setDeleting] = useState<Item | null>(null);
  return (
    <div className="page-column">
      <div className="library__bar">
        <p>{texts.explain}</p>
        <Button kind="primary" icon="plus" onClick={() => setEditing("new")}>
          {texts.make}
        </Button>
      </div>
      {error && <ErrorNotice error={error} />}
      {isSuccess && items.length === 0 && <p>{texts.none}</p>}
      <ul className="cards" aria-label={texts.title}>
        {items.map((item) => (
          <li key={item.id}>
            {card(
              item,
              <OwnerMenu
                item={item}
                name={nameOf(item)}
                onEdit={() => setEditing(item)}
                onDelete={() => {
                  remove.reset();
                  setDeleting(item);
                }}
              />,
            )}
          </li>
        ))}
      </ul>
      {editing && form(editing === "new" ? null : editing, () => setEditing(null))}
      {deleting && (
        <ConfirmDialog
          title={t("app.deleteTitle", { name: nameOf(deleting) })}
          text={removeText}
          work={remove}
          onConfirm={() => remove.mutate(deleting.id, { onSuccess: () => setDeleting(null) })}
          onClose={() => setDeleting(null)}
        />
      )}
    </div>
  );
}

interface OwnerMenuProps {
  item: Saved;
  name: string;
  onEdit: () => void;
  onDelete: () => void;
}

/** Its owner changes and deletes it; an administrator may delete what is shared. */
function OwnerMenu({ item: { is_owner: mine, shared }, name, onEdit, onDelete }: OwnerMenuProps) {
  const t = useT();
  const me = useMe();
  if (!mine && !(shared && me?.is_superuser)) return null;
  return (
    <Menu
      trigger={
        <button type="button" className="icon-button icon-button--small" aria-label={t("saved.actions", { name })}>
          <Icon name="dots" size={16} />
        </button>
      }
    >
      {mine && (
        <MenuItem icon="pencil" onSelect={onEdit}>
          {t("chat.edit")}
        </MenuItem>
      )}
      <MenuItem icon="trash" danger onSelect={onDelete}>
        {t("app.delete")}
      </MenuItem>
    </Menu>
  );
}

/** Says whether something is shared, and by whom. */
export function SharedBadge({ item: { is_owner: mine, shared, owner } }: { item: Saved }) {
  const t = useT();
  return shared && <span className="badge">{mine ? t("saved.shared") : t("saved.by", { owner })}</span>;
}
