import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useMe } from "@/shared/api/me";
import type { SavedPrompt } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button, Field, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";
import { Modal } from "@/shared/ui/Modal";
import { promptsQuery, useDeletePrompt, useSavePrompt } from "./api";
import "./prompts.css";

/** One's own prompts and those that others share. */
export function PromptsPage() {
  const t = useT();
  const { data: prompts = [], error, isSuccess } = useQuery(promptsQuery);
  const [editing, setEditing] = useState<SavedPrompt | "new" | null>(null);
  const [deleting, setDeleting] = useState<SavedPrompt | null>(null);
  return (
    <div className="library">
      <div className="library__bar">
        <p>{t("prompts.explain")}</p>
        <Button kind="primary" icon="plus" onClick={() => setEditing("new")}>
          {t("prompts.new")}
        </Button>
      </div>
      {error && <ErrorNotice error={error} />}
      {isSuccess && prompts.length === 0 && <p>{t("prompts.none")}</p>}
      <ul className="cards" aria-label={t("prompts.title")}>
        {prompts.map((prompt) => (
          <li key={prompt.id}>
            <PromptCard prompt={prompt} onEdit={() => setEditing(prompt)} onDelete={() => setDeleting(prompt)} />
          </li>
        ))}
      </ul>
      {editing && <PromptForm prompt={editing === "new" ? null : editing} onClose={() => setEditing(null)} />}
      {deleting && <DeletePrompt prompt={deleting} onClose={() => setDeleting(null)} />}
    </div>
  );
}

interface PromptCardProps {
  prompt: SavedPrompt;
  onEdit: () => void;
  onDelete: () => void;
}

function PromptCard({ prompt, onEdit, onDelete }: PromptCardProps) {
  const t = useT();
  const me = useMe();
  const { title, content, shared, is_owner: mine, owner } = prompt;
  return (
    <article className="prompt-card">
      <div className="prompt-card__head">
        <h3>{title}</h3>
        {(mine || (shared && me?.is_superuser)) && (
          <Menu
            trigger={
              <button type="button" className="icon-button icon-button--small" aria-label={t("assistants.actions", { name: title })}>
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
        )}
      </div>
      <p>{content}</p>
      {shared && (
        <div>
          <span className="badge">{mine ? t("saved.shared") : t("saved.by", { owner })}</span>
        </div>
      )}
    </article>
  );
}

function PromptForm({ prompt, onClose }: { prompt: SavedPrompt | null; onClose: () => void }) {
  const t = useT();
  const save = useSavePrompt();
  const [title, setTitle] = useState(prompt?.title ?? "");
  const [content, setContent] = useState(prompt?.content ?? "");
  const [shared, setShared] = useState(prompt?.shared ?? false);
  return (
    <Modal title={t(prompt ? "prompts.edit" : "prompts.new")} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate({ ...(prompt ? { id: prompt.id } : {}), title, content, shared }, { onSuccess: onClose });
        }}
      >
        {save.error && <ErrorNotice error={save.error} />}
        <Field label={t("prompts.name")} maxLength={100} required value={title} onChange={({ target }) => setTitle(target.value)} />
        <TextArea
          label={t("prompts.content")}
          hint={t("prompts.contentHint", { example: "{{topic}}" })}
          rows={8}
          maxLength={20_000}
          required
          value={content}
          onChange={({ target }) => setContent(target.value)}
        />
        <label className="check">
          <input type="checkbox" checked={shared} onChange={({ target }) => setShared(target.checked)} />
          {t("saved.share")}
        </label>
        <div className="dialog__actions">
          <Button onClick={onClose}>{t("app.cancel")}</Button>
          <Button kind="primary" type="submit" disabled={save.isPending || !title.trim() || !content.trim()}>
            {t("app.save")}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

function DeletePrompt({ prompt, onClose }: { prompt: SavedPrompt; onClose: () => void }) {
  const t = useT();
  const remove = useDeletePrompt();
  return (
    <ConfirmDialog
      title={t("app.deleteTitle", { name: prompt.title })}
      work={remove}
      onConfirm={() => remove.mutate(prompt.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
