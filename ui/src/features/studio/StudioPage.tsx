import { at } from "@/shared/root";
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { useT } from "@/shared/i18n";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { graphQuery, recentQuery } from "./api";
import { Checkpoints } from "./Checkpoints";
import { GraphDrawing } from "./GraphDrawing";
import "./studio.css";

interface StudioPageProps {
  conversationId: string | null;
  onChoose: (conversationId: string) => void;
}

/** For engineers: the graph, and what a conversation left in its checkpoints. */
export function StudioPage({ conversationId, onChoose }: StudioPageProps) {
  const t = useT();
  const id = useId();
  const graph = useQuery(graphQuery);
  const { data: recent } = useQuery(recentQuery);
  return (
    <div className="studio">
      <section className="studio__graph" aria-label={t("studio.graph")}>
        <h2>{t("studio.graph")}</h2>
        {graph.error && <ErrorNotice error={graph.error} />}
        {graph.data && <GraphDrawing graph={graph.data} />}
        <p className="studio__links">
          <a href={at("/langserve/chat/playground/")}>
            <Icon name="link" size={16} /> {t("studio.playground")}
          </a>
          <a href={at("/docs")}>
            <Icon name="link" size={16} /> {t("studio.docs")}
          </a>
        </p>
      </section>
      <section className="studio__checkpoints" aria-label={t("studio.checkpoints")}>
        <h2>{t("studio.checkpoints")}</h2>
        <div className="field">
          <label className="field__label" htmlFor={id}>
            {t("studio.choose")}
          </label>
          <select
            id={id}
            className="input"
            value={conversationId ?? ""}
            onChange={(event) => event.target.value && onChoose(event.target.value)}
          >
            <option value="" />
            {recent?.items.map((conversation) => (
              <option key={conversation.id} value={conversation.id}>
                {conversation.title || t("conversations.untitled")}
              </option>
            ))}
          </select>
        </div>
        {conversationId ? (
          <Checkpoints key={conversationId} conversationId={conversationId} />
        ) : (
          <p className="studio__hint">{t("studio.chooseFirst")}</p>
        )}
      </section>
    </div>
  );
}
