import { useEffect, useRef } from "react";

interface Shortcuts {
  newChat: () => void;
  palette: () => void;
  help: () => void;
  goTo: (conversationId: string) => void;
  currentId: string | null;
}

/** The conversation that stands before or after the current one in the list, as far as the list is drawn. */
function neighbour(currentId: string | null, by: 1 | -1): string | null {
  const links = [...document.querySelectorAll<HTMLAnchorElement>(".conversation__link")];
  const ids = links
    .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
    .map((link) => link.dataset["id"] ?? "");
  const index = currentId ? ids.indexOf(currentId) : by === 1 ? -1 : ids.length;
  return ids[index + by] ?? null;
}

/** A combination by its modifiers and the key's place: `Control+Shift+KeyO`. */
function nameOf(event: KeyboardEvent): string {
  const modifiers = [
    (event.ctrlKey || event.metaKey) && "Control",
    event.altKey && "Alt",
    event.shiftKey && "Shift",
  ].filter(Boolean);
  return [...modifiers, event.code].join("+");
}

function actionsOf(shortcuts: Shortcuts): Record<string, () => void> {
  const step = (by: 1 | -1) => () => {
    const id = neighbour(shortcuts.currentId, by);
    if (id) shortcuts.goTo(id);
  };
  return {
    "Control+Shift+KeyO": shortcuts.newChat,
    "Control+KeyK": shortcuts.palette,
    "Control+Slash": shortcuts.help,
    "Alt+ArrowUp": step(-1),
    "Alt+ArrowDown": step(1),
    "Shift+Escape": () => document.querySelector<HTMLElement>(".composer__text")?.focus(),
  };
}

/** The page's own key combinations, by the key's place and not its letter, so that other layouts have them too. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const current = useRef(shortcuts);
  useEffect(() => {
    current.current = shortcuts;
  });
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      const action = actionsOf(current.current)[nameOf(event)];
      if (!action) return;
      event.preventDefault();
      action();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, []);
}
