import { createContext, useContext, type ReactNode } from "react";

export interface MarkdownContext {
  /** Draw a citation's number; null where the number has no source. */
  cite: (n: number) => ReactNode | null;
}

/** Let each number be drawn by its source. */
export function citing<Cited extends { n: number }>(
  sources: readonly Cited[],
  draw: (source: Cited) => ReactNode,
): MarkdownContext {
  const byNumber = new Map(sources.map((source) => [source.n, source]));
  return {
    cite: (n) => {
      const source = byNumber.get(n);
      return source ? draw(source) : null;
    },
  };
}

const none: MarkdownContext = { cite: () => null };

export const CitationContext = createContext<MarkdownContext>(none);
export const useCitations = (): MarkdownContext => useContext(CitationContext);
