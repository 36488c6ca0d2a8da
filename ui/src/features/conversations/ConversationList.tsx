import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useMemo, useRef, useState, type RefObject } from "react";
import type { Conversation } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { conversationsQuery } from "./api";
import { ConversationItem } from "./ConversationItem";
import { grouped } from "./group";
import { ListOptions } from "./ListOptions";
import { useDeleteLater } from "./useDeleteLater";
import "./conversations.css";

const HEADING_PX = 34;
const ITEM_PX = 38;
const HIT_PX = 62;
const LOAD_WITHIN_LINES = 20;

interface ConversationListProps {
  currentId: string | null;
  search: RefObject<HTMLInputElement | null>;
  onOpen: (id: string) => void;
  /** Called when the open conversation is deleted. */
  onGone: () => void;
}

/** All conversations, of which only the lines in the window are in the document. */
export function ConversationList({ currentId, search, onOpen, onGone }: ConversationListProps) {
  const t = useT();
  const [text, setText] = useState("");
  const [archived, setArchived] = useState(false);
  const q = useDeferredValue(text.trim());
  const query = useInfiniteQuery(conversationsQuery(q, archived));
  const { hidden, deleteLater } = useDeleteLater();
  const conversations = useMemo(
    () => (query.data?.pages.flatMap((page) => page.items) ?? []).filter(({ id }) => !hidden.has(id)),
    [query.data, hidden],
  );

  function remove(conversation: Conversation) {
    deleteLater(conversation.id);
    if (conversation.id === currentId) onGone();
  }

  return (
    <section className="conversations" aria-label={t("conversations.title")}>
      <div className="conversations__search">
        <Icon name="search" size={16} />
        <input
          ref={search}
          type="search"
          className="conversations__field"
          aria-label={t("conversations.search")}
          placeholder={t("conversations.search")}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            event.preventDefault();
            setText("");
          }}
        />
        {text !== "" && (
          <IconButton small icon="close" label={t("conversations.clearSearch")} onClick={() => setText("")} />
        )}
        <ListOptions archived={archived} onArchived={setArchived} onImported={onOpen} />
      </div>
      {query.error && <ErrorNotice error={query.error} />}
      {query.isSuccess && conversations.length === 0 && (
        <p className="conversations__none">{q ? t("conversations.noHits") : t("conversations.none")}</p>
      )}
      <Lines
        conversations={conversations}
        currentId={currentId}
        onOpen={onOpen}
        onDelete={remove}
        loadMore={query.hasNextPage && !query.isFetching ? () => void query.fetchNextPage() : null}
      />
    </section>
  );
}

interface LinesProps {
  conversations: Conversation[];
  currentId: string | null;
  onOpen: (id: string) => void;
  onDelete: (conversation: Conversation) => void;
  loadMore: (() => void) | null;
}

function Lines({ conversations, currentId, onOpen, onDelete, loadMore }: LinesProps) {
  const t = useT();
  const scroller = useRef<HTMLDivElement>(null);
  const lines = useMemo(() => grouped(conversations), [conversations]);
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => {
      const line = lines[index];
      if (line?.kind !== "conversation") return HEADING_PX;
      return line.conversation.snippet ? HIT_PX : ITEM_PX;
    },
    getItemKey: (index) => {
      const line = lines[index];
      return line?.kind === "conversation" ? line.conversation.id : (line?.group ?? index);
    },
    overscan: 6,
  });
  const items = virtual.getVirtualItems();
  const lastShown = items.at(-1)?.index ?? 0;

  useEffect(() => {
    if (loadMore && lastShown >= lines.length - LOAD_WITHIN_LINES) loadMore();
  }, [loadMore, lastShown, lines.length]);
  useEffect(() => {
    virtual.measure();
  }, [virtual, lines]);

  return (
    <div className="conversations__scroll" ref={scroller}>
      <ul className="conversations__lines" style={{ height: virtual.getTotalSize() }}>
        {items.map((item) => {
          const line = lines[item.index];
          const style = { transform: `translateY(${item.start}px)`, height: item.size };
          if (!line) return null;
          if (line.kind === "heading")
            return (
              <li key={item.key} className="conversations__heading" style={style}>
                {t(`conversations.${line.group}`)}
              </li>
            );
          return (
            <li key={item.key} className="conversations__line" style={style}>
              <ConversationItem
                conversation={line.conversation}
                current={line.conversation.id === currentId}
                onOpen={onOpen}
                onDelete={onDelete}
              />
            </li>
          );
        })}
      </ul>
    </div>
  );
}
