import type { Token } from "marked";
import { markdown } from "./syntax";

/** One top-level piece of a Markdown text: `start` is its offset, `token` stays the same object while it does. */
export interface Block {
  start: number;
  raw: string;
  token: Token;
}

function lex(text: string, offset: number, breaks: boolean): Block[] {
  const blocks: Block[] = [];
  let start = offset;
  for (const token of markdown.lexer(text, { ...markdown.defaults, breaks })) {
    blocks.push({ start, raw: token.raw, token });
    start += token.raw.length;
  }
  return blocks;
}

/**
 * Splits a growing text into blocks, looking again only at the last one.
 *
 * What is appended can change how the last block reads (a paragraph becomes a table, a list goes on) but none before
 * it, so the cost of an update is that of its last block, not of the answer.
 */
export class BlockLexer {
  private readonly breaks: boolean;
  private text = "";
  private blocks: Block[] = [];

  /** With `breaks` each line of the text stays one, as people write their messages. */
  constructor(breaks = false) {
    this.breaks = breaks;
  }

  update(text: string): Block[] {
    if (text === this.text) return this.blocks;
    const grown = text.startsWith(this.text) && this.text !== "";
    const kept = grown ? this.settled() : [];
    const last = kept.at(-1);
    const from = last ? last.start + last.raw.length : 0;
    this.blocks = [...kept, ...lex(text.slice(from), from, this.breaks)];
    this.text = text;
    return this.blocks;
  }

  /** All blocks before the last one that is not blank; marked must have kept every character for offsets to hold. */
  private settled(): Block[] {
    const length = this.blocks.reduce((sum, block) => sum + block.raw.length, 0);
    if (length !== this.text.length) return [];
    const last = this.blocks.findLastIndex((block) => block.token.type !== "space");
    return this.blocks.slice(0, Math.max(0, last));
  }
}
