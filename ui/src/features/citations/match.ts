/** Letters and digits only, in one case: what of a text survives the different ways that PDFs are read. */
const bare = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");

const PROBE = 24;

/** A piece of a page's text, and which part of it is meant, as shares of its letters. */
export interface Part {
  index: number;
  from: number;
  to: number;
}

/**
 * Which pieces of a page's text belong to a passage, and how much of the first and the last.
 *
 * Readers of PDFs differ in spaces, hyphens and line ends, so bare letters are compared; a passage that begins or ends on
 * another page is found by the part of it that is here.
 */
export function piecesOf(passage: string, pieces: string[]): Part[] {
  const wanted = bare(passage);
  const starts: number[] = [];
  let whole = "";
  for (const piece of pieces) {
    starts.push(whole.length);
    whole += bare(piece);
  }
  const found = span(wanted, whole);
  if (!found) return [];
  const [from, to] = found;
  return starts.flatMap((start, index) => {
    const end = starts[index + 1] ?? whole.length;
    if (start >= to || end <= from) return [];
    const share = (place: number): number => (Math.min(end, Math.max(start, place)) - start) / (end - start);
    return [{ index, from: share(from), to: share(to) }];
  });
}

function span(wanted: string, whole: string): [number, number] | null {
  if (wanted === "") return null;
  const exact = whole.indexOf(wanted);
  if (exact >= 0) return [exact, exact + wanted.length];
  const probe = Math.min(PROBE, wanted.length);
  const head = whole.indexOf(wanted.slice(0, probe));
  const tail = whole.lastIndexOf(wanted.slice(-probe));
  if (head < 0 && tail < 0) return null;
  if (head >= 0 && tail >= head) return [head, tail + probe];
  return head >= 0 ? [head, Math.min(whole.length, head + wanted.length)] : [Math.max(0, tail + probe - wanted.length), tail + probe];
}
