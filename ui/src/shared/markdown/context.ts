import { createContext, useContext, type ReactNode } from "react";

export interface MarkdownContext {
  /** Draw a citation's number; null where the number has no source. */
  cite: (n: number) => ReactNode | null;
}

const none: MarkdownContext = { cite: () => null };

export const CitationContext = createContext<MarkdownContext>(none);
export const useCitations = (): MarkdownContext => useContext(CitationContext);
