import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { Assistant } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { SavedPage, SharedBadge } from "@/shared/saved/SavedPage";
import { Button } from "@/shared/ui/controls";
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
  return (
    <SavedPage
      query={useQuery(assistantsQuery)}
      texts={{
        title: t("assistants.title"),
        explain: t("assistants.explain"),
        make: t("assistants.new"),
        none: t("assistants.none"),
      }}
      nameOf={({ name }) => name}
      card={(assistant, menu) => <Card assistant={assistant} menu={menu} onChat={() => onChat(assistant)} />}
      form={(assistant, onClose) => <AssistantForm assistant={assistant} onClose={onClose} {...parts} />}
      remove={useDeleteAssistant()}
      removeText={t("assistants.deleteExplain")}
    />
  );
}

function Card({ assistant, menu, onChat }: { assistant: Assistant; menu: ReactNode; onChat: () => void }) {
  const t = useT();
  return (
    <article className="card">
      <AssistantPicture assistant={assistant} />
      <h2 className="card__name">{assistant.name}</h2>
      <div className="card__menu">{menu}</div>
      {assistant.description && <p className="card__text">{assistant.description}</p>}
      <p className="card__foot">
        <Button icon="chat" onClick={onChat}>
          {t("assistants.chat")}
        </Button>
        <SharedBadge item={assistant} />
      </p>
    </article>
  );
}
