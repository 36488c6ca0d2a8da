import { useEffect, useRef, type RefObject } from "react";
import { giveBack } from "@/shared/ui/focus";

/** Focus a panel's heading whenever `shown` changes, and hand the focus back to what opened it when the panel closes. */
export function usePanelFocus(heading: RefObject<HTMLElement | null>, shown: unknown): void {
  const opener = useRef<HTMLElement | null>(null);
  useEffect(() => {
    const active = document.activeElement;
    const outside = !heading.current?.closest("aside")?.contains(active);
    if (outside && active instanceof HTMLElement && active !== document.body) opener.current = active;
    heading.current?.focus();
  }, [heading, shown]);
  useEffect(() => () => giveBack(opener.current), []);
}
