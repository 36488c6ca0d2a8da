import { useCallback, useState } from "react";

/** A value that this browser keeps under `name` (preferences and drafts; never anything secret). */
export function useStored(name: string, initial: string): [string, (value: string) => void] {
  const [value, setValue] = useState(() => localStorage.getItem(name) ?? initial);
  const store = useCallback(
    (next: string) => {
      if (next === "") localStorage.removeItem(name);
      else localStorage.setItem(name, next);
      setValue(next);
    },
    [name],
  );
  return [value, store];
}
