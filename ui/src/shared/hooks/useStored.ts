import { useCallback, useLayoutEffect, useState } from "react";

/** What shows a value hears of each write. No DOM events: React would take them for the cause, and draw later. */
const shown = new Map<string, Set<() => void>>();

function onWrite(name: string, look: () => void): () => void {
  const looking = shown.get(name) ?? new Set();
  shown.set(name, looking.add(look));
  return () => {
    looking.delete(look);
    if (looking.size === 0 && shown.get(name) === looking) shown.delete(name);
  };
}

/** What this browser keeps under `name`. */
export const readStored = (name: string, initial = ""): string => localStorage.getItem(name) ?? initial;

/** Keep a value under `name`; what shows it follows. */
export function writeStored(name: string, value: string): void {
  if (value === "") localStorage.removeItem(name);
  else localStorage.setItem(name, value);
  shown.get(name)?.forEach((look) => look());
}

/**
 * A value that this browser keeps under `name` (preferences and drafts; never anything secret).
 *
 * What another tab writes is taken up when the value is shown anew: what is typed here stays.
 */
export function useStored(name: string, initial: string): [string, (value: string) => void] {
  const [kept, keep] = useState(() => ({ name, value: readStored(name, initial) }));
  const current = kept.name === name ? kept : { name, value: readStored(name, initial) };
  if (current !== kept) keep(current);
  useLayoutEffect(() => {
    return onWrite(name, () => keep({ name, value: readStored(name, initial) }));
  }, [name, initial]);
  const store = useCallback((next: string) => writeStored(name, next), [name]);
  return [current.value, store];
}
