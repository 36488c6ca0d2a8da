import { Marked, type TokenizerAndRendererExtension, type Tokens } from "marked";

/** `[1]` or `[1, 2]`: the answer cites its sources by number. */
export interface CitationToken extends Tokens.Generic {
  type: "citation";
  numbers: number[];
}

export interface MathToken extends Tokens.Generic {
  type: "math" | "mathBlock";
  text: string;
}

const citation: TokenizerAndRendererExtension = {
  name: "citation",
  level: "inline",
  start: (source) => source.search(/\[\d/),
  tokenizer(source): CitationToken | undefined {
    const match = /^\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\](?!\()/.exec(source);
    if (!match?.[1]) return undefined;
    return { type: "citation", raw: match[0], numbers: match[1].split(",").map(Number) };
  },
};

/** `$a$`, where the dollars touch the formula and no digit follows, so that prices stay prices; and `\(a\)`. */
const math: TokenizerAndRendererExtension = {
  name: "math",
  level: "inline",
  start: (source) => source.search(/\$|\\\(/),
  tokenizer(source): MathToken | undefined {
    const match = /^\$(?!\s|\$)((?:\\.|[^\\$\n])+?)(?<!\s)\$(?!\d)/.exec(source) ?? /^\\\(([^\n]+?)\\\)/.exec(source);
    return match?.[1] ? { type: "math", raw: match[0], text: match[1] } : undefined;
  },
};

const mathBlock: TokenizerAndRendererExtension = {
  name: "mathBlock",
  level: "block",
  start: (source) => source.search(/(?:^|\n)(?:\$\$|\\\[)/),
  tokenizer(source): MathToken | undefined {
    const match = /^\$\$([\s\S]+?)\$\$[ \t]*(?:\n|$)/.exec(source) ?? /^\\\[([\s\S]+?)\\\][ \t]*(?:\n|$)/.exec(source);
    return match?.[1] ? { type: "mathBlock", raw: match[0], text: match[1].trim() } : undefined;
  },
};

/** `[^a]`: refers to a footnote. */
export interface FootnoteToken extends Tokens.Generic {
  type: "footnote" | "footnoteRef";
  label: string;
}

const footnoteRef: TokenizerAndRendererExtension = {
  name: "footnoteRef",
  level: "inline",
  start: (source) => source.search(/\[\^/),
  tokenizer(source): FootnoteToken | undefined {
    const match = /^\[\^([^\]\s]{1,40})\]/.exec(source);
    return match?.[1] ? { type: "footnoteRef", raw: match[0], label: match[1] } : undefined;
  },
};

/** `[^a]: text`, over as many lines as are neither blank nor another footnote. */
const footnote: TokenizerAndRendererExtension = {
  name: "footnote",
  level: "block",
  childTokens: ["tokens"],
  start: (source) => source.search(/(?:^|\n) {0,3}\[\^[^\]\s]{1,40}\]:/),
  tokenizer(source): FootnoteToken | undefined {
    const match = /^ {0,3}\[\^([^\]\s]{1,40})\]:[ \t]*([^\n]*(?:\n(?! {0,3}\[\^|[ \t]*(?:\n|$))[^\n]+)*)(?:\n|$)/.exec(source);
    if (!match?.[1]) return undefined;
    const text = (match[2] ?? "").replace(/\n[ \t]+/g, "\n");
    return { type: "footnote", raw: match[0], label: match[1], tokens: this.lexer.inlineTokens(text) };
  },
};

export const markdown = new Marked({ gfm: true, extensions: [citation, math, mathBlock, footnoteRef, footnote] });
