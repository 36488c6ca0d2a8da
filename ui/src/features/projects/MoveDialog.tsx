import { useQuery } from "@tanstack/react-query";
import { usePatchConversation } from "@/shared/api/conversation";
import type { Conversation } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";
import { projectsQuery } from "./api";
import "./projects.css";

/** Choose the project that a conversation belongs to. */
export function MoveDialog({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const t = useT();
  const { data: projects = [], isSuccess } = useQuery(projectsQuery);
  const { mutate } = usePatchConversation();
  const current = conversation.project_id ?? null;
  function move(projectId: string | null) {
    mutate({ id: conversation.id, project_id: projectId });
    onClose();
  }
  return (
    <Modal title={t("conversations.move")} text={conversation.title} onClose={onClose}>
      {isSuccess && projects.length === 0 && <p>{t("projects.none")}</p>}
      <ul className="move-list">
        {current !== null && (
          <li>
            <Button icon="close" onClick={() => move(null)}>
              {t("projects.takeOut")}
            </Button>
          </li>
        )}
        {projects
          .filter(({ id }) => id !== current)
          .map(({ id, name }) => (
            <li key={id}>
              <Button icon="project" onClick={() => move(id)}>
                {name}
              </Button>
            </li>
          ))}
      </ul>
    </Modal>
  );
}
