import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useMe } from "@/shared/api/me";
import type { Assistant } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";
import { assistantsQuery, useDeleteAssistant } from "./api";
import { AssistantForm, type FormParts } from "./AssistantForm";
import { AssistantPicture } from "./AssistantPicture";
import "./assistants.css";

interface AssistantsPageProps extends FormParts {
  onChat: (assistant: Assistant) => void;
}

/** One's own assistants and those that others share: begin a chat with one, make one, change one. */
export function AssistantsPage({ onChat, ...parts }: AssistantsPageProps) {
  const t = useT();
  const { data: assistants = [], error, isSuccess } = useQuery(assistantsQuery);
  const [editing, setEditing] = useState<Assistant | "new" | null>(null);
  const [deleting, setDeleting] = useState<Assistant | null>(null);
  const close = () => setEditing(null);
  return (
    <div className="library">
      <div className="library__bar">
        <p>{t("assistants.explain")}</p>
        <Button kind="primary" icon="plus" onClick={() => setEditing("new")}>
          {t("assistants.new")}
        </Button>
      </div>
      {error && <ErrorNotice error={error} />}
      {isSuccess && assistants.length === 0 && <p>{t("assistants.none")}</p>}
      <ul className="cards" aria-label={t("assistants.title")}>
        {assistants.map((assistant) => (
          <li key={assistant.id}>
            <Card
              assistant={assistant}
              onChat={() => onChat(assistant)}
              onEdit={() => setEditing(assistant)}
              onDelete={() => setDeleting(assistant)}
            />
          </li>
        ))}
      </ul>
      {editing && <AssistantForm assistant={editing === "new" ? null : editing} onClose={close} {...parts} />}
      {deleting && <DeleteAssistant assistant={deleting} onClose={() => setDeleting(null)} />}
    </div>
  );
}

interface CardProps {
  assistant: Assistant;
  onChat: () => void;
  onEdit: () => void;
  onDelete: () => void;
}

function Card({ assistant, onChat, onEdit, onDelete }: CardProps): ReactNode {
  const t = useT();
  const me = useMe();
  const { name, description, is_owner: mine, shared, owner } = assistant;
  const mayDelete = mine || (shared && me?.is_superuser);
  return (
    <article className="card">
      <AssistantPicture assistant={assistant} />
      <h2 className="card__name">{name}</h2>
      {mayDelete ? (
        <Menu
          trigger={
            <button type="button" className="icon-button icon-button--small" aria-label={t("assistants.actions", { name })}>
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
      ) : (
        <span />
      )}
      {description && <p className="card__text">{description}</p>}
      <p className="card__foot">
        <Button icon="chat" onClick={onChat}>
          {t("assistants.chat")}
        </Button>
        {shared && <span className="badge">{mine ? t("saved.shared") : t("saved.by", { owner })}</span>}
      </p>
    </article>
  );
}

function DeleteAssistant({ assistant, onClose }: { assistant: Assistant; onClose: () => void }) {
  const t = useT();
  const remove = useDeleteAssistant();
  return (
    <ConfirmDialog
      title={t("app.deleteTitle", { name: assistant.name })}
      text={t("assistants.deleteExplain")}
      work={remove}
      onConfirm={() => remove.mutate(assistant.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
