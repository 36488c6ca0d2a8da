import { useQuery } from "@tanstack/react-query";
import { Popover } from "radix-ui";
import { useId } from "react";
import { usePatchConversation } from "@/shared/api/conversation";
import type { Conversation, StoredFile } from "@/shared/api/types";
import { useT, type Key } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { Icon } from "@/shared/ui/Icon";
import { filesQuery, useDetachFile } from "./api";
import { FileState } from "./Attachments";

/** What a question searches: the library and the conversation's files, these alone, or nothing. */
type Scope = "library" | "conversation" | "none";

interface ScopeMenuProps {
  conversation: Conversation | null;
  /** Whether files are searched at all. */
  searches: boolean;
  onSearches: (searches: boolean) => void;
  onPreview: (file: StoredFile) => void;
}

const NAMES: Record<Scope, Key> = { library: "scope.library", conversation: "scope.conversation", none: "scope.none" };

/** Says and changes what the next question searches, and lists the conversation's files. */
export function ScopeMenu({ conversation, searches, onSearches, onPreview }: ScopeMenuProps) {
  const t = useT();
  const name = useId();
  const id = conversation?.id ?? null;
  const { data: files = [] } = useQuery({ ...filesQuery(id), enabled: id !== null });
  const { mutate: patch } = usePatchConversation();
  const own = id === null ? [] : files;
  const library = conversation?.search_library ?? true;
  const scope: Scope = !searches ? "none" : library ? "library" : "conversation";

  function choose(next: Scope) {
    onSearches(next !== "none");
    if (id !== null && next !== "none") patch({ id, search_library: next === "library" });
  }

  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <button type="button" className="state-button" data-scope={scope}>
          <Icon name="folder" size={16} />
          <span className="visually-hidden">{t("scope.title")}: </span>
          <span className="scope__name">{t(NAMES[scope])}</span>
          {scope === "conversation" && own.length > 0 && <span className="scope__count">{own.length}</span>}
        </button>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover scope-menu" side="top" align="start" sideOffset={8} collisionPadding={8} aria-label={t("scope.title")}>
          <fieldset className="scope-menu__choices">
            <legend>{t("scope.title")}</legend>
            {(Object.keys(NAMES) as Scope[]).map((each) => (
              <label key={each} className="check">
                <input
                  type="radio"
                  name={name}
                  checked={scope === each}
                  disabled={each === "conversation" && id === null}
                  onChange={() => choose(each)}
                />
                {t(NAMES[each])}
              </label>
            ))}
          </fieldset>
          {conversation && own.length > 0 && <OwnFiles conversationId={conversation.id} files={own} onPreview={onPreview} />}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

interface OwnFilesProps {
  conversationId: string;
  files: StoredFile[];
  onPreview: (file: StoredFile) => void;
}

function OwnFiles({ conversationId, files, onPreview }: OwnFilesProps) {
  const t = useT();
  const { mutate: detach } = useDetachFile();
  return (
    <ul className="scope-menu__files" aria-label={t("files.inConversation")}>
      {files.map((file) => (
        <li key={file.id} className="attachment" data-status={file.status}>
          <span className="attachment__text">
            <Popover.Close asChild>
              <button type="button" className="attachment__name" onClick={() => onPreview(file)}>
                {file.name}
              </button>
            </Popover.Close>
            <FileState file={file} />
          </span>
          <IconButton
            small
            icon="close"
            label={t("files.remove", { name: file.name })}
            onClick={() => detach({ id: file.id, conversationId })}
          />
        </li>
      ))}
    </ul>
  );
}
