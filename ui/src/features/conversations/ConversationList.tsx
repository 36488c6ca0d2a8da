import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode, type RefObject } from "react";
import type { Conversation } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { daysAgo, useFormats } from "@/shared/i18n/format";
import { IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { conversationsQuery } from "./api";
import { ConversationItem, type ConversationAction } from "./ConversationItem";
import { grouped, titlesOfSeveral } from "./group";
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
  onAction: ConversationAction;
  /** Draws what goes on in a conversation. */
  mark: (id: string) => ReactNode;
}

/** The conversations that are in no project, or those that were searched for, of which only the lines in the window are in the document. */
export function ConversationList({ currentId, search, onOpen, onGone, onAction, mark }: ConversationListProps) {
  const t = useT();
  const [text, setText] = useState("");
  const [archived, setArchived] = useState(false);
  const q = useDeferredValue(text.trim());
  const query = useInfiniteQuery(conversationsQuery(q, archived));
  const list = useRef<HTMLDivElement>(null);
  const { hidden, deleteLater } = useDeleteLater();
  const conversations = useMemo(
    () =>
      (query.data?.pages.flatMap((page) => page.items) ?? []).filter(
        (conversation) => !hidden.has(conversation.id) && (hasBegun(conversation) || conversation.id === currentId),
      ),
    [query.data, hidden, currentId],
  );

  function remove(conversation: Conversation) {
    deleteLater(conversation.id);
    if (conversation.id === currentId) onGone();
  }

  // Up and down go through the search's field and its lines.
  function onArrow(event: KeyboardEvent) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !(event.target instanceof HTMLAnchorElement)) return;
    event.preventDefault();
    if (!focusLine(list.current, step)) search.current?.focus();
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
            const first = conversations[0];
            if (event.key === "Escape") setText("");
            else if (event.key === "Enter" && first) onOpen(first.id);
            else if (event.key === "ArrowDown") focusLine(list.current, 1);
            else return;
            event.preventDefault();
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
        list={list}
        onKeyDown={onArrow}
        conversations={conversations}
        currentId={currentId}
        onOpen={onOpen}
        onDelete={remove}
        onAction={onAction}
        mark={mark}
        loadMore={query.hasNextPage && !query.isFetching ? () => void query.fetchNextPage() : null}
      />
    </section>
  );
}

/** A conversation that only waits for its first question, with a file perhaps, belongs to the new chat. */
const hasBegun = ({ leaf_id, title }: Conversation): boolean => leaf_id !== null || Boolean(title);

/** Focus the line that is `step` away from the focused one (the first, where none is); says whether there is one. */
function focusLine(list: HTMLElement | null, step: number): boolean {
  const lines = [...(list?.querySelectorAll<HTMLElement>("a") ?? [])];
  const line = lines[lines.indexOf(document.activeElement as HTMLElement) + step];
  line?.focus();
  return line !== undefined;
}

interface LinesProps {
  list: RefObject<HTMLDivElement | null>;
  onKeyDown: (event: KeyboardEvent) => void;
  conversations: Conversation[];
  currentId: string | null;
  onOpen: (id: string) => void;
  onDelete: (conversation: Conversation) => void;
  onAction: ConversationAction;
  mark: (id: string) => ReactNode;
  loadMore: (() => void) | null;
}

function Lines({ list: scroller, onKeyDown, conversations, currentId, onOpen, onDelete, onAction, mark, loadMore }: LinesProps) {
  const t = useT();
  const lines = useMemo(() => grouped(conversations), [conversations]);
  const twice = useMemo(() => titlesOfSeveral(conversations), [conversations]);
  const { time, date } = useFormats();
  const whenOf = ({ title, updated_at: at }: Conversation): string | undefined =>
    twice.has(title ?? "") ? (daysAgo(at) === 0 ? time(at) : date(at)) : undefined;
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
    // The links in it take the keys; it hears which.
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions
    <div className="conversations__scroll" ref={scroller} onKeyDown={onKeyDown}>
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
                onAction={onAction}
                mark={mark}
                when={whenOf(line.conversation)}
              />
            </li>
          );
        })}
      </ul>
    </div>
  );
}
