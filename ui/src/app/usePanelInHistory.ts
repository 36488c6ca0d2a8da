import { useNavigate, useRouter, useRouterState } from "@tanstack/react-router";
import { useCallback, useEffect, useRef } from "react";

declare module "@tanstack/react-router" {
  interface HistoryState {
    panel?: boolean;
  }
}

/**
 * Give an open panel an entry of its own in the browser's history, so that Back (on a phone the only way that everybody
 * knows) closes it and leaves the page where it is. Returns how to close it from within the page.
 */
export function usePanelInHistory(isOpen: boolean, close: () => void): () => void {
  const router = useRouter();
  const navigate = useNavigate();
  const inHistory = useRouterState({ select: ({ location }) => location.state.panel === true });
  const was = useRef({ isOpen: false, inHistory });
  useEffect(() => {
    const before = was.current;
    was.current = { isOpen, inHistory };
    if (isOpen && !before.isOpen && !inHistory)
      void navigate({ to: ".", search: true, state: (state) => ({ ...state, panel: true }) });
    else if (isOpen && before.inHistory && !inHistory) close();
  }, [isOpen, inHistory, navigate, close]);
  return useCallback(() => {
    if (inHistory) router.history.back();
    close();
  }, [inHistory, router, close]);
}
