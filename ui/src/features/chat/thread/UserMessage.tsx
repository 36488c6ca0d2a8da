import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import type { Message } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Markdown } from "@/shared/markdown/Markdown";
import { Button, IconButton } from "@/shared/ui/controls";
import { CopyButton } from "@/shared/ui/CopyButton";
import { Picture } from "@/shared/ui/Picture";
import { useActions } from "./actions";
import { Versions } from "./Versions";

export function UserMessage({ message }: { message: Message }) {
  const t = useT();
  const { editing, setEditing, busy, attachment } = useActions();
  if (editing?.id === message.id) return <Editor message={message} begin={editing.text} />;
  return (
    <article className="message message--user" aria-label={t("chat.you")}>
      {message.attachments.length > 0 && (
        <ul className="attachments" aria-label={t("files.attached")}>
          {message.attachments.map((file) => attachment(file, message.conversation_id))}
        </ul>
      )}
      {message.image_file_ids.length > 0 && (
        <div className="message__pictures">
          {message.image_file_ids.map((id) => (
            <Picture key={id} fileId={id} />
          ))}
        </div>
      )}
      <Words text={message.content} />
      <div className="message__actions">
        <Versions message={message} />
        <CopyButton text={message.content} label={t("chat.copy")} />
        <IconButton
          small
          icon="pencil"
          label={t("chat.edit")}
          disabled={busy}
          onClick={() => setEditing({ id: message.id, text: message.content })}
        />
      </div>
    </article>
  );
}

const FOLDED_LINES = 16;
const FOLDED_CHARACTERS = 1600;

/** What was asked, as Markdown; long ones are folded until somebody wants to read them. */
function Words({ text }: { text: string }) {
  const t = useT();
  const isLong = text.length > FOLDED_CHARACTERS || text.split("\n").length > FOLDED_LINES;
  const [folded, setFolded] = useState(true);
  return (
    <div className="message__bubble" data-folded={isLong && folded}>
      <div className="message__words">
        <Markdown text={text} breaks />
      </div>
      {isLong && (
        <button type="button" className="text-button" aria-expanded={!folded} onClick={() => setFolded(!folded)}>
          {t(folded ? "chat.unfold" : "chat.fold")}
        </button>
      )}
    </div>
  );
}

function Editor({ message, begin }: { message: Message; begin: string }) {
  const t = useT();
  const { edit, setEditing } = useActions();
  const [text, setText] = useState(begin);
  const field = useRef<HTMLTextAreaElement>(null);
  // Once: who goes on elsewhere keeps the keyboard.
  useEffect(() => {
    field.current?.focus();
  }, []);

  function send() {
    if (text.trim() === "") return;
    setEditing(null);
    edit(message, text.trim());
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.key === "Escape") {
      event.preventDefault();
      if (text === begin) setEditing(null);
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
  }

  return (
    <div className="editor">
      <textarea
        className="input editor__text"
        dir="auto"
        aria-label={t("chat.editLabel")}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
        ref={field}
      />
      <div className="dialog__actions">
        <Button onClick={() => setEditing(null)}>{t("app.cancel")}</Button>
        <Button kind="primary" disabled={text.trim() === ""} onClick={send}>
          {t("chat.saveEdit")}
        </Button>
      </div>
    </div>
  );
}
