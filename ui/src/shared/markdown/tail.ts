import type { Block } from "./blocks";
import { markdown } from "./syntax";

/** A table is one only when the line under its head is whole; until then it would be a line of bars. */
const TABLE_BEGINNING = /(?:^|\n) {0,3}\|[^\n]*(?:\n[ |:-]*)?$/;
/** Marks that may yet become a list, a heading, a rule or a fence, on a line of their own. */
const LINE_BEGINNING = /(?:^|\n)[ \t>]*(?:#{1,6}|[-=*_+`~>]{1,3}|\d{1,3}[.)]?) ?$/;
/** The box of a task that is not whole. */
const OPEN_TASK = /((?:^|\n)[ \t>]*(?:[-*+]|\d{1,3}[.)]) +)\[[ xX]?\]?[ \n]?$/;
/** What begins a text of its own: an item of a list, a heading, a footnote. */
const BEGINS_TEXT = /^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]|#{1,6}[ \t]|\[\^[^\]\s]+\]:)/;
const BLANK = /^[ \t>]*$/;
const FENCE = /^[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})/;
/** The beginning of a citation or a footnote; of a picture; of a link, whose text may be shown. */
const OPEN_REFERENCE = /\[(?:[\d,\s]*|\^[^\]\s]*)$/;
const OPEN_IMAGE = /!\[[^\]\n]*(?:\](?:\([^)\n]*)?)?$/;
const OPEN_LINK = /\[(?![\d,\s]+\]$|\^[^\]\s]+\]$)([^[\]]*)(?:\](?:\([^)\n]*)?)?$/;
const CODE = /(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g;
const MARKS = /[*_]+|~~/g;
const PARTS = ["**", "__", "~~", "*", "_"];

/**
 * The block at the end of a growing text as it will probably read: what has been opened is closed, and what does not say
 * yet what it will be is left out. So nothing is shown as marks now and as a table or in bold a moment later.
 */
export function readable(block: Block): Block[] {
  const { type } = block.token;
  if (type === "code" || type === "mathBlock") return [block];
  const raw = type === "table" ? mendedTable(block.raw) : mended(block.raw);
  if (raw === block.raw) return [block];
  return markdown
    .lexer(raw)
    .filter((token) => token.type !== "space")
    .slice(0, 1)
    .map((token) => ({ ...block, token }));
}

export function mended(raw: string): string {
  const known = raw.replace(TABLE_BEGINNING, "").replace(OPEN_TASK, "$1").replace(LINE_BEGINNING, "");
  const lines = known.split("\n");
  if (isInFence(lines)) return raw;
  const first = beginningOfText(lines);
  return [...lines.slice(0, first), closed(lines.slice(first).join("\n"))].join("\n");
}

/** Only the last cell of a table grows. */
function mendedTable(raw: string): string {
  const cell = raw.lastIndexOf("|") + 1;
  return raw.slice(0, cell) + closed(raw.slice(cell));
}

function isInFence(lines: string[]): boolean {
  let open: string | null = null;
  for (const line of lines) {
    const fence = FENCE.exec(line)?.[1];
    if (!fence) continue;
    if (open === null) open = fence;
    else if (fence.startsWith(open)) open = null;
  }
  return open !== null;
}

/** The line that the text at the end begins on: what was opened before it is not closed in it. */
function beginningOfText(lines: string[]): number {
  let first = lines.length - 1;
  while (first > 0 && !BEGINS_TEXT.test(lines[first] ?? "") && !BLANK.test(lines[first - 1] ?? "")) first -= 1;
  return first;
}

/** Close in one text what was opened in it. */
function closed(text: string): string {
  const code = openCode(text);
  if (code) {
    const content = text.slice(code.end).replace(/[\s`]+$/, "");
    if (content.trim() === "") return closed(text.slice(0, code.start));
    return closeMarks(text.slice(0, code.end) + content + code.mark);
  }
  return closeMarks(text.replace(OPEN_IMAGE, "").replace(OPEN_REFERENCE, "").replace(OPEN_LINK, "$1"));
}

/** The backticks that begin code which does not end; a run of them ends what a run of the same length began. */
function openCode(text: string): { start: number; end: number; mark: string } | null {
  let open: { start: number; end: number; mark: string } | null = null;
  for (const { 0: mark, index } of text.matchAll(/`+/g)) {
    if (open === null) open = { start: index, end: index + mark.length, mark };
    else if (mark === open.mark) open = null;
  }
  return open;
}

/** Close bold, emphasis and deletion. The marks at the very end close what is open, or have nothing behind them yet. */
function closeMarks(text: string): string {
  const shown = text.replace(/[*_~]+$/, "");
  // Neither code nor the star of a list is emphasis.
  const prose = shown.replace(CODE, "x").replace(/^\s*(?:>\s*)*[*+-]\s+/, "");
  const open: string[] = [];
  for (const { 0: run, index } of prose.matchAll(MARKS)) {
    const [before, after] = [prose.charAt(index - 1), prose.charAt(index + run.length)];
    let rest = run;
    while (rest !== "" && /\S/.test(before)) {
      const closes = open.findLastIndex((mark) => rest.startsWith(mark));
      if (closes < 0) break;
      rest = rest.slice(open[closes]?.length);
      open.length = closes;
    }
    if (!/\S/.test(after) || !/^[\s([{"'«—*~_]?$/.test(before)) continue;
    while (rest !== "") {
      const mark = PARTS.find((part) => rest.startsWith(part)) ?? rest;
      open.push(mark);
      rest = rest.slice(mark.length);
    }
  }
  return open.length > 0 ? shown.trimEnd() + open.reverse().join("") : shown;
}
