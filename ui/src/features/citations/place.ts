/** A place in a file: a passage's, or its beginning. */
export interface Place {
  fileId: string;
  fileName: string;
  page: number | null;
  start: number;
  end: number;
  /** The passage's own words, in case that the file has gone. */
  snippet: string;
}

/** The beginning of a file, as nobody cites it. */
export const beginningOf = ({ id, name }: { id: string; name: string }): Place => ({
  fileId: id,
  fileName: name,
  page: null,
  start: 0,
  end: 0,
  snippet: "",
});

export interface Window {
  before: string;
  marked: string;
  after: string;
  /** How many characters lie outside, on either side. */
  cutBefore: number;
  cutAfter: number;
}

/**
 * The part of a text around a passage, `reach` characters to either side, cut at line ends where there are some.
 *
 * Offsets count code points, as the server's do; JavaScript's count UTF-16 units, so they are translated first. Of what
 * lies between them only the `snippet` is marked, where it is found there: it is what the question was about.
 */
export function windowAround(text: string, start: number, end: number, reach: number, snippet = ""): Window {
  const first = unitOffset(text, start);
  const last = Math.max(first, unitOffset(text, end));
  const found = snippet === "" ? -1 : text.indexOf(snippet, first);
  const isInside = found >= 0 && found + snippet.length <= last;
  const from = isInside ? found : first;
  const to = isInside ? found + snippet.length : last;
  const lineBefore = text.lastIndexOf("\n", Math.max(0, from - reach)) + 1;
  const lineAfter = text.indexOf("\n", Math.min(text.length, to + reach));
  const left = from - lineBefore > 2 * reach ? from - reach : lineBefore;
  const right = lineAfter < 0 || lineAfter - to > 2 * reach ? Math.min(text.length, to + reach) : lineAfter;
  return {
    before: text.slice(left, from),
    marked: text.slice(from, to),
    after: text.slice(to, right),
    cutBefore: left,
    cutAfter: text.length - right,
  };
}

/** Where the n-th code point of a text begins, in UTF-16 units. */
export function unitOffset(text: string, codePoints: number): number {
  let unit = 0;
  for (let count = 0; count < codePoints && unit < text.length; count += 1) {
    unit += (text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
  }
  return unit;
}
