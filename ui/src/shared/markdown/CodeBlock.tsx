import { Fragment, Suspense, useEffect, useState, type ReactNode } from "react";
import { loadPart } from "@/shared/api/reachable";
import { lazyPart } from "@/shared/ui/lazyPart";
import { useT } from "@/shared/i18n";
import { CopyButton } from "@/shared/ui/CopyButton";
import type { Highlighted } from "./highlight";

const Diagram = lazyPart(() => import("./Diagram"));

interface CodeBlockProps {
  code: string;
  language: string;
  /** Whether more of it may still come: then it is neither coloured nor drawn. */
  growing: boolean;
}

export function CodeBlock({ code, language, growing }: CodeBlockProps) {
  const source = <Source code={code} language={language} growing={growing} />;
  if (language !== "mermaid" || growing) return source;
  return (
    <Suspense fallback={source}>
      <Diagram code={code} source={source} />
    </Suspense>
  );
}

function Source({ code, language, growing }: CodeBlockProps) {
  const t = useT();
  const colours = useHighlighted(code, language, growing);
  return (
    <figure className="md-code">
      <figcaption className="md-code__head">
        <span>{language || t("chat.code")}</span>
        <CopyButton text={code} label={t("chat.copyCode")} />
      </figcaption>
      {/* Long lines scroll, so the keyboard has to reach the block. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <pre tabIndex={0} role="region" aria-label={t("chat.code")}>
        <code>{colours ? draw(colours.children) : code}</code>
      </pre>
    </figure>
  );
}

function useHighlighted(code: string, language: string, growing: boolean): Highlighted | null {
  const [done, setDone] = useState<{ code: string; colours: Highlighted | null } | null>(null);
  useEffect(() => {
    if (growing || !language) return;
    let current = true;
    void loadPart(() => import("./highlight")).then(({ highlight }) => {
      if (current) setDone({ code, colours: highlight(code, language) });
    });
    return () => {
      current = false;
    };
  }, [code, language, growing]);
  return done?.code === code ? done.colours : null;
}

function draw(nodes: Highlighted["children"]): ReactNode {
  return nodes.map((node, index) => {
    if (node.type === "text") return <Fragment key={index}>{node.value}</Fragment>;
    if (node.type !== "element") return null;
    const names = node.properties["className"];
    return (
      <span key={index} className={Array.isArray(names) ? names.join(" ") : undefined}>
        {draw(node.children)}
      </span>
    );
  });
}
