import { defaultRangeExtractor, useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useLayoutEffect, useRef, useState, type ReactNode, type SyntheticEvent } from "react";
import { useT } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import type { Row } from "./rows";

/** Closer to the end than this, the thread follows what is being written. */
const FOLLOW_WITHIN_PX = 96;
const ESTIMATED_ROW_PX = 180;
/** A scroll so soon after wheel, touch, key or pointer is the reader's own; any other comes from the layout. */
const BY_HAND_MS = 500;

interface ThreadProps {
  rows: Row[];
  renderRow: (row: Row) => ReactNode;
  /** The message whose row stays in the document wherever one scrolls: something is being written there. */
  held: string | null;
}

/** The messages, of which only those near the window are in the document. */
export function Thread({ rows, renderRow, held }: ThreadProps) {
  const t = useT();
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const lastTop = useRef(0);
  const touched = useRef(0);
  const hold = useHold();
  const asking = rows.at(-1)?.run?.asked ?? null;
  const [away, setAway] = useState(false);

  const heldAt = held === null ? -1 : rows.findIndex(({ message }) => message.id === held);

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ESTIMATED_ROW_PX,
    getItemKey: (index) => rows[index]?.key ?? index,
    rangeExtractor: (range) => {
      const near = defaultRangeExtractor(range);
      return heldAt < 0 || near.includes(heldAt) ? near : [...near, heldAt].sort((one, other) => one - other);
    },
    overscan: 2,
    paddingStart: 24,
    paddingEnd: 24,
  });
  const height = virtual.getTotalSize();

  const toEnd = useCallback(() => {
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, []);

  // Who asks wants to see the answer.
  useLayoutEffect(() => {
    if (!asking) return;
    following.current = true;
    hold.release();
  }, [asking, hold]);
  useLayoutEffect(() => {
    if (!hold.keep(scroller.current) && following.current) toEnd();
    // An answer that grows leaves behind a reader who stands still.
    setAway(isAway(scroller.current, following.current));
  }, [height, rows.length, asking, toEnd, hold]);

  function onScroll() {
    const element = scroller.current;
    if (!element) return;
    const left = element.scrollHeight - element.scrollTop - element.clientHeight;
    const byHand = performance.now() - touched.current < BY_HAND_MS;
    if (left < FOLLOW_WITHIN_PX) following.current = true;
    else if (byHand && element.scrollTop < lastTop.current) following.current = false;
    lastTop.current = element.scrollTop;
    setAway(isAway(element, following.current));
  }

  const touch = (event: SyntheticEvent) => {
    touched.current = performance.now();
    hold.touch(event);
  };

  return (
    // The listeners only note that the reader is at work.
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions
    <div
      className="thread"
      onWheel={touch}
      onTouchMove={touch}
      onKeyDown={touch}
      onPointerDown={touch}
      onPointerMove={(event) => event.buttons > 0 && touch(event)}
    >
      {/* A scrolling region has to be reachable by keyboard. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="thread__scroll" ref={scroller} onScroll={onScroll} tabIndex={0} role="region" aria-label={t("chat.thread")}>
        <div className="thread__space" style={{ height }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index];
            return (
              row && (
                <div
                  key={item.key}
                  ref={virtual.measureElement}
                  data-index={item.index}
                  className="thread__row"
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  {renderRow(row)}
                </div>
              )
            );
          })}
        </div>
      </div>
      {away && (
        <IconButton
          className="thread__down"
          icon="chevron"
          label={t("chat.scrollDown")}
          onClick={() => {
            following.current = true;
            toEnd();
          }}
        />
      )}
    </div>
  );
}

/** Whether there is more below than the reader sees, and he is not taken there. */
function isAway(element: HTMLElement | null, following: boolean): boolean {
  if (!element || following) return false;
  return element.scrollHeight - element.scrollTop - element.clientHeight >= FOLLOW_WITHIN_PX;
}

interface Hold {
  touch: (event: SyntheticEvent) => void;
  release: () => void;
  /** Keep in view what is held, if anything is; says whether. */
  keep: (scroller: HTMLElement | null) => boolean;
}

/**
 * What was pressed last stays in view when the thread gets narrower or wider, as it does when a panel opens beside it:
 * rows above then change their height. It is held until the reader touches the thread again.
 */
function useHold(): Hold {
  const [hold] = useState((): Hold => {
    let pressed: Element | null = null;
    let held: Element | null = null;
    let width = 0;
    return {
      touch: ({ type, target }) => {
        held = null;
        // Scrolling by hand leaves behind what was pressed before.
        if (type === "wheel" || type === "touchmove") pressed = null;
        if ((type === "pointerdown" || type === "keydown") && target instanceof Element) pressed = target;
      },
      release: () => {
        pressed = held = null;
      },
      keep: (scroller) => {
        const now = scroller?.clientWidth ?? width;
        if (width !== 0 && now !== width) held = pressed;
        width = now;
        if (!held?.isConnected) return false;
        held.scrollIntoView({ block: "nearest" });
        return true;
      },
    };
  });
  return hold;
}
