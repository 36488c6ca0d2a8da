import { useEffect, useRef } from "react";

type Layer = { current: () => void };

/** What Escape closes, the last opened one last. */
const open: Layer[] = [];

/**
 * Call `action` when Escape is pressed while `active`, unless something inside the page has taken the key already.
 *
 * One press closes one thing: the last that was opened. With `otherwise` it is called where there is nothing to close.
 */
export function useEscape(active: boolean, action: () => void, { otherwise = false } = {}): void {
  const layer = useRef(action);
  useEffect(() => {
    layer.current = action;
  });
  useEffect(() => {
    if (!active) return;
    const onKeyDown = (event: KeyboardEvent) => {
      const modified = event.shiftKey || event.ctrlKey || event.altKey || event.metaKey;
      if (event.key !== "Escape" || modified || event.defaultPrevented) return;
      if (open.at(-1) !== (otherwise ? undefined : layer)) return;
      event.preventDefault();
      layer.current();
    };
    if (!otherwise) open.push(layer);
    addEventListener("keydown", onKeyDown);
    return () => {
      if (!otherwise) open.splice(open.indexOf(layer), 1);
      removeEventListener("keydown", onKeyDown);
    };
  }, [active, otherwise]);
}
