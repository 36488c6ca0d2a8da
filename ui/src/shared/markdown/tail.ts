import type { Block } from "./blocks";
import { markdown } from "./syntax";

/** A table is one only when the line under its head is whole; until then it would be a line of bars. */
const TABLE_BEGINNING = /(?:^|\n) {0,3}\|[^\n]*(?:\n[ |:-]*)?$/;
/** Marks that may yet become a list, a heading, a rule or a fence, on a line of their own. */
const LINE_BEGINNING = /\n {0,3}(?:#{1,6}|[-=*_+`~>]{1,3}|\d{1,3}[.)]?) ?$/;
/** The beginning of a citation; of a picture; of a link, whose text may be shown. */
const OPEN_CITATION = /\[[\d,\s]*$/;
const OPEN_IMAGE = /!\[[^\]\n]*(?:\](?:\([^)\n]*)?)?$/;
const OPEN_LINK = /\[([^\]\n]*)\]\([^)\n]*$/;

/**
 * The block at the end of a growing text as it will probably read: what has been opened is closed, and what does not say
 * yet what it will be is left out. So nothing is shown as marks now and as a table or in bold a moment later.
 */
export function readable(block: Block): Block[] {
  if (block.token.type === "code" || block.token.type === "table" || block.token.type === "mathBlock") return [block];
  const raw = mended(block.raw);
  if (raw === block.raw) return [block];
  return markdown
    .lexer(raw)
    .filter((token) => token.type !== "space")
    .slice(0, 1)
    .map((token) => ({ ...block, token }));
}

export function mended(raw: string): string {
  const known = raw.replace(TABLE_BEGINNING, "").replace(LINE_BEGINNING, "");
  const line = known.lastIndexOf("\n") + 1;
  return known.slice(0, line) + closed(known.slice(line));
}

/** Close on one line what was opened on it. */
function closed(line: string): string {
  const code = line.lastIndexOf("`");
  if (count(line, "`") % 2 === 1) {
    return code === line.length - 1 ? closed(line.slice(0, code)) : `${closed(line.slice(0, code))}${line.slice(code)}\``;
  }
  const text = line
    .replace(OPEN_IMAGE, "")
    .replace(OPEN_LINK, "$1")
    .replace(OPEN_CITATION, "");
  return closeMarks(text);
}

/** Close bold, emphasis and deletion; a mark with nothing behind it is left out. */
function closeMarks(text: string): string {
  // Neither code nor the star of a list is emphasis.
  const prose = text.replace(/`[^`]*`/g, "x").replace(/^\s*(?:>\s*)*[*+-]\s+/, "");
  let open: string[] = [];
  let shown = text;
  for (const { 0: mark, index } of prose.matchAll(/\*\*|~~|\*/g)) {
    const [before, after] = [prose.charAt(index - 1), prose.charAt(index + mark.length)];
    if (open.includes(mark) && /\S/.test(before)) open = open.slice(0, open.lastIndexOf(mark));
    else if (after === "") shown = shown.slice(0, -mark.length);
    else if (/\S/.test(after) && /^[\s([{"'«—*~]?$/.test(before)) open.push(mark);
  }
  return open.length > 0 ? shown.trimEnd() + open.reverse().join("") : shown;
}

const count = (text: string, part: string): number => text.split(part).length - 1;
