import { useEffect, useRef } from "react";

/** Call `action` when Escape is pressed while `active`, unless something inside the page has taken the key already. */
export function useEscape(active: boolean, action: () => void): void {
  const current = useRef(action);
  useEffect(() => {
    current.current = action;
  });
  useEffect(() => {
    if (!active) return;
    const onKeyDown = (event: KeyboardEvent) => {
      const modified = event.shiftKey || event.ctrlKey || event.altKey || event.metaKey;
      if (event.key === "Escape" && !modified && !event.defaultPrevented) current.current();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [active]);
}
