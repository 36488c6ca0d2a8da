import { useInfiniteQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { MoreButton } from "@/shared/ui/MoreButton";
import { conversationsQuery } from "./api";
import { ConversationItem, type ConversationAction } from "./ConversationItem";
import { useDeleteLater } from "./useDeleteLater";
import "./conversations.css";

interface ProjectChatsProps {
  projectId: string;
  onOpen: (id: string) => void;
  onAction: ConversationAction;
  mark: (id: string) => ReactNode;
}

/** The conversations of a project. */
export function ProjectChats({ projectId, onOpen, onAction, mark }: ProjectChatsProps) {
  const t = useT();
  const query = useInfiniteQuery(conversationsQuery("", false, projectId));
  const { hidden, deleteLater } = useDeleteLater();
  const shown = query.data?.pages.flatMap((page) => page.items).filter(({ id }) => !hidden.has(id)) ?? [];
  return (
    <>
      {query.error && <ErrorNotice error={query.error} />}
      {query.isSuccess && shown.length === 0 && <p>{t("projects.noChats")}</p>}
      <ul className="project-chats" aria-label={t("conversations.title")}>
        {shown.map((conversation) => (
          <li key={conversation.id}>
            <ConversationItem
              conversation={conversation}
              current={false}
              onOpen={onOpen}
              onDelete={({ id }) => deleteLater(id)}
              onAction={onAction}
              mark={mark}
            />
          </li>
        ))}
      </ul>
      <MoreButton query={query} />
    </>
  );
}
