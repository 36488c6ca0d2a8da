import { useQuery } from "@tanstack/react-query";
import { Popover } from "radix-ui";
import { useId, type ReactNode } from "react";
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
  /** How many files its project and its assistant bring. */
  brought: number;
  /** Whether all of one's files are searched, too. */
  library: boolean;
  onLibrary: (library: boolean) => void;
  /** Whether files are searched at all. */
  searches: boolean;
  onSearches: (searches: boolean) => void;
  onPreview: (file: StoredFile) => void;
  /** How many shared libraries are searched, and their choice. */
  libraryCount: number;
  libraries: ReactNode;
}

const NAMES: Record<Scope, Key> = { library: "scope.library", conversation: "scope.conversation", none: "scope.none" };

/** Says and changes what the next question searches, and lists the conversation's files. */
export function ScopeMenu(props: ScopeMenuProps) {
  const { conversation, brought, library, onLibrary, searches, onSearches, onPreview, libraryCount, libraries } = props;
  const t = useT();
  const name = useId();
  const id = conversation?.id ?? null;
  const { data: files = [] } = useQuery({ ...filesQuery(id), enabled: id !== null });
  const own = id === null ? [] : files;
  const count = own.length + brought;
  const scope: Scope = !searches ? "none" : library ? "library" : "conversation";

  function choose(next: Scope) {
    onSearches(next !== "none");
    if (next !== "none") onLibrary(next === "library");
  }

  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <button type="button" className="state-button" data-scope={scope}>
          <Icon name="folder" size={16} />
          <span className="visually-hidden">{t("scope.title")}: </span>
          <span className="scope__name">{t(NAMES[scope])}</span>
          {scope === "conversation" && count > 0 && <span className="scope__count">{count}</span>}
          {searches && <LibraryCount count={libraryCount} />}
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
                  disabled={each === "conversation" && id === null && brought + libraryCount === 0}
                  onChange={() => choose(each)}
                />
                {t(NAMES[each])}
              </label>
            ))}
          </fieldset>
          {searches && libraries}
          {brought > 0 && <p className="field__hint">{t("scope.brought", { count: brought })}</p>}
          {conversation && own.length > 0 && <OwnFiles conversationId={conversation.id} files={own} onPreview={onPreview} />}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function LibraryCount({ count }: { count: number }) {
  const t = useT();
  if (count === 0) return null;
  return (
    <span className="scope__count">
      <Icon name="library" size={12} />
      <span className="visually-hidden">{t("libraries.title")}: </span>
      {count}
    </span>
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
