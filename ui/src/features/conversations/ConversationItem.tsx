import { memo, useState, type FormEvent, type MouseEvent, type ReactNode } from "react";
import { usePatchConversation } from "@/shared/api/conversation";
import type { Conversation } from "@/shared/api/types";
import { at } from "@/shared/root";
import { useT } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem, MenuLine } from "@/shared/ui/Menu";
import { exportAddress } from "./api";
import { pieces } from "./highlight";

export type ConversationAction = (conversation: Conversation, action: "move" | "share") => void;

interface ConversationItemProps {
  conversation: Conversation;
  current: boolean;
  onOpen: (id: string) => void;
  onDelete: (conversation: Conversation) => void;
  /** Move the conversation to a project, or share it. */
  onAction: ConversationAction;
  mark: (id: string) => ReactNode;
  /** Stands beside a title that another conversation has, too. */
  when?: string | undefined;
}

export const ConversationItem = memo(function ConversationItem(props: ConversationItemProps) {
  const { conversation, current, onOpen, mark, when } = props;
  const t = useT();
  const [renaming, setRenaming] = useState(false);
  const title = conversation.title || t("conversations.untitled");

  function open(event: MouseEvent) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onOpen(conversation.id);
  }

  if (renaming) return <Rename conversation={conversation} onDone={() => setRenaming(false)} />;
  return (
    <div className={`conversation ${current ? "conversation--current" : ""}`}>
      <a
        className="conversation__link"
        href={at(`/c/${conversation.id}`)}
        data-id={conversation.id}
        aria-current={current ? "page" : undefined}
        onClick={open}
      >
        <span className="conversation__title">
          {title}
          {when && <small className="conversation__when"> {when}</small>}
        </span>
        {conversation.snippet && <Snippet text={conversation.snippet} hits={conversation.highlights ?? []} />}
      </a>
      {mark(conversation.id)}
      <ItemMenu {...props} title={title} onRename={() => setRenaming(true)} />
    </div>
  );
});

function Snippet({ text, hits }: { text: string; hits: number[][] }) {
  return (
    <span className="conversation__snippet">
      {pieces(text, hits).map((piece, index) =>
        piece.hit ? <mark key={index}>{piece.text}</mark> : <span key={index}>{piece.text}</span>,
      )}
    </span>
  );
}

type ItemMenuProps = ConversationItemProps & { title: string; onRename: () => void };

function ItemMenu({ conversation, title, onDelete, onAction, onRename }: ItemMenuProps) {
  const t = useT();
  const patch = usePatchConversation();
  const { id, pinned, archived } = conversation;
  return (
    <Menu
      align="start"
      trigger={
        <button
          type="button"
          className="icon-button icon-button--small conversation__menu"
          aria-label={t("conversations.actions", { title })}
        >
          <Icon name="dots" size={16} />
        </button>
      }
    >
      <MenuItem icon="pin" onSelect={() => patch.mutate({ id, pinned: !pinned })}>
        {t(pinned ? "conversations.unpin" : "conversations.pin")}
      </MenuItem>
      <MenuItem icon="pencil" onSelect={onRename}>
        {t("conversations.rename")}
      </MenuItem>
      <MenuItem icon="folder" onSelect={() => onAction(conversation, "move")}>
        {t("conversations.move")}
      </MenuItem>
      <MenuItem icon="link" onSelect={() => onAction(conversation, "share")}>
        {t("shares.share")}
      </MenuItem>
      <MenuItem icon="archive" onSelect={() => patch.mutate({ id, archived: !archived })}>
        {t(archived ? "conversations.unarchive" : "conversations.archive")}
      </MenuItem>
      <MenuLine />
      <MenuItem icon="download" onSelect={() => location.assign(exportAddress(id, "json"))}>
        {t("conversations.exportJson")}
      </MenuItem>
      <MenuItem icon="download" onSelect={() => location.assign(exportAddress(id, "markdown"))}>
        {t("conversations.exportMarkdown")}
      </MenuItem>
      <MenuLine />
      <MenuItem icon="trash" danger onSelect={() => onDelete(conversation)}>
        {t("app.delete")}
      </MenuItem>
    </Menu>
  );
}

function Rename({ conversation, onDone }: { conversation: Conversation; onDone: () => void }) {
  const t = useT();
  const patch = usePatchConversation();
  const [title, setTitle] = useState(conversation.title ?? "");

  function save(event?: FormEvent) {
    event?.preventDefault();
    const wanted = title.trim();
    if (wanted && wanted !== conversation.title) patch.mutate({ id: conversation.id, title: wanted });
    onDone();
  }

  return (
    <form className="conversation conversation--renaming" onSubmit={save}>
      <input
        className="input"
        aria-label={t("conversations.renameLabel")}
        value={title}
        maxLength={200}
        onChange={(event) => setTitle(event.target.value)}
        onBlur={() => save()}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          onDone();
        }}
        ref={(element) => {
          element?.focus();
        }}
      />
    </form>
  );
}
