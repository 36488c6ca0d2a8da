import katex from "katex";
import "katex/dist/katex.min.css";
import { useLayoutEffect, useRef } from "react";

/**
 * A formula drawn by KaTeX; what it can't read stays as its source.
 *
 * `trust: false` keeps commands out that make links or load pictures; KaTeX builds the nodes itself.
 */
export default function Formula({ text, block }: { text: string; block: boolean }) {
  const place = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    if (!place.current) return;
    katex.render(text, place.current, { displayMode: block, throwOnError: false, trust: false, maxExpand: 500, maxSize: 20 });
  }, [text, block]);
  return <span ref={place} className={block ? "md-formula md-formula--block" : "md-formula"} />;
}
