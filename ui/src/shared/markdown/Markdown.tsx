import type { Token, Tokens } from "marked";
import { lazyPart } from "@/shared/ui/lazyPart";
import { useT } from "@/shared/i18n";
import { Component, createElement, memo, Suspense, useId, useState, type ReactNode } from "react";
import { BlockLexer, type Block } from "./blocks";
import { CodeBlock } from "./CodeBlock";
import { Footnote, FootnotesContext } from "./Footnotes";
import { Inline } from "./Inline";
import type { FootnoteToken, MathToken } from "./syntax";
import { readable } from "./tail";
import "./markdown.css";

const Formula = lazyPart(() => import("./Formula"));

interface MarkdownProps {
  text: string;
  growing?: boolean;
  /** Whether each line of the text stays one, as people write their messages. */
  breaks?: boolean;
}

/** What can't be drawn, as thousands of quotes within each other can't, stays the text that it is. */
class TextWhereItFails extends Component<{ text: string; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    return this.state.failed ? <p className="md md-raw">{this.props.text}</p> : this.props.children;
  }
}

/**
 * A Markdown text as elements. While `growing`, only the block at its end is read and drawn anew.
 *
 * Nothing here becomes HTML by itself: tags in the text are shown as text, pictures and links ask before they load.
 */
export function Markdown(props: MarkdownProps) {
  return (
    <TextWhereItFails text={props.text}>
      <Drawn {...props} />
    </TextWhereItFails>
  );
}

function Drawn({ text, growing = false, breaks = false }: MarkdownProps) {
  const [lexer] = useState(() => new BlockLexer(breaks));
  const blocks = lexer.update(text);
  const last = growing ? blocks.findLastIndex((block) => block.token.type !== "space") : -1;
  const shown = blocks.flatMap((block, index) => (index === last ? readable(block) : [block]));
  return (
    <FootnotesContext value={useId()}>
      <div className="md">
        {shown.map((block) => (
          <TopBlock key={block.start} block={block} growing={block.start === blocks[last]?.start} />
        ))}
      </div>
    </FootnotesContext>
  );
}

const TopBlock = memo(function TopBlock({ block, growing }: { block: Block; growing: boolean }) {
  return <BlockToken token={block.token} growing={growing} />;
});

function Blocks({ tokens, growing }: { tokens: Token[]; growing: boolean }) {
  return tokens.map((token, index) => <BlockToken key={index} token={token} growing={growing} />);
}

function BlockToken({ token, growing }: { token: Token; growing: boolean }) {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      // The page's own headings come first: an answer's begin one level below the message's.
      const { depth, tokens } = token as Tokens.Heading;
      return createElement(`h${Math.min(6, depth + 2)}`, { className: `md-h${depth}`, dir: "auto" }, <Inline tokens={tokens} />);
    }
    case "code": {
      const { text, lang } = token as Tokens.Code;
      return <CodeBlock code={text} language={(lang ?? "").split(/\s/)[0] ?? ""} growing={growing} />;
    }
    case "list":
      return <List token={token as Tokens.List} growing={growing} />;
    case "table":
      return <Table token={token as Tokens.Table} />;
    case "blockquote":
      return (
        <blockquote dir="auto">
          <Blocks tokens={(token as Tokens.Blockquote).tokens} growing={growing} />
        </blockquote>
      );
    case "hr":
      return <hr />;
    case "mathBlock":
      return (
        <Suspense fallback={<pre>{(token as MathToken).text}</pre>}>
          <Formula text={(token as MathToken).text} block />
        </Suspense>
      );
    case "footnote":
      return <Footnote token={token as FootnoteToken} />;
    case "checkbox":
      return <Inline tokens={[token]} />;
    case "html":
      return <p className="md-raw">{token.raw.trim()}</p>;
    case "text":
      return <Inline tokens={"tokens" in token && token.tokens ? token.tokens : [token]} />;
    default:
      return (
        <p dir="auto">
          <Inline tokens={"tokens" in token ? token.tokens : [token]} />
        </p>
      );
  }
}

function List({ token, growing }: { token: Tokens.List; growing: boolean }) {
  const items = token.items.map((item, index) => (
    <li key={index} className={item.task ? "md-task" : undefined}>
      <Blocks tokens={item.tokens} growing={growing && index === token.items.length - 1} />
    </li>
  ));
  if (!token.ordered) return <ul dir="auto">{items}</ul>;
  return (
    <ol dir="auto" start={Number(token.start) || 1}>
      {items}
    </ol>
  );
}

function Table({ token }: { token: Tokens.Table }) {
  const t = useT();
  const cell = (tag: "th" | "td") => (entry: Tokens.TableCell, index: number) =>
    createElement(
      tag,
      { key: index, style: entry.align ? { textAlign: entry.align } : undefined },
      <Inline tokens={entry.tokens} />,
    );
  return (
    // Wide tables scroll, so the keyboard has to reach them.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="md-table" tabIndex={0} role="region" aria-label={t("chat.table")}>
      <table dir="auto">
        <thead>
          <tr>{token.header.map(cell("th"))}</tr>
        </thead>
        <tbody>
          {token.rows.map((row, index) => (
            <tr key={index}>{row.map(cell("td"))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
