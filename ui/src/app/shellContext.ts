import { createContext, useContext } from "react";

interface ShellFrame {
  openMenu: () => void;
}

export const ShellContext = createContext<ShellFrame | null>(null);

export function useShell(): ShellFrame {
  const frame = useContext(ShellContext);
  if (!frame) throw new Error("useShell needs the Shell around it");
  return frame;
}
