import { useEffect, useRef, useState, type KeyboardEvent, type RefObject } from "react";

interface ActiveLine<List extends HTMLElement> {
  /** The number of the line that Enter takes; -1 where there is none. */
  active: number;
  point: (index: number) => void;
  list: RefObject<List | null>;
  /** Take an arrow key; says whether it was one. */
  step: (event: KeyboardEvent) => boolean;
}

/** The line of a list that the arrow keys of a field above it move through; it is kept in view. */
export function useActiveLine<List extends HTMLElement>(count: number): ActiveLine<List> {
  const [at, point] = useState(0);
  const list = useRef<List>(null);
  const active = Math.min(at, count - 1);
  useEffect(() => {
    list.current?.children[active]?.scrollIntoView({ block: "nearest" });
  }, [active]);
  function step({ key }: KeyboardEvent): boolean {
    const by = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (!by || count === 0) return false;
    point((active + by + count) % count);
    return true;
  }
  return { active, point, list, step };
}
