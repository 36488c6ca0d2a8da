import { useCallback, useLayoutEffect, useState } from "react";

/** Tells what shows a value that it was written; an event's type is the value's name. */
const writes = new EventTarget();

/** What this browser keeps under `name`. */
export const readStored = (name: string, initial = ""): string => localStorage.getItem(name) ?? initial;

/** Keep a value under `name`; what shows it follows. */
export function writeStored(name: string, value: string): void {
  if (value === "") localStorage.removeItem(name);
  else localStorage.setItem(name, value);
  writes.dispatchEvent(new Event(name));
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
    const onWrite = () => keep({ name, value: readStored(name, initial) });
    writes.addEventListener(name, onWrite);
    return () => writes.removeEventListener(name, onWrite);
  }, [name, initial]);
  const store = useCallback((next: string) => writeStored(name, next), [name]);
  return [current.value, store];
}
