/** Letters and digits only, in one case: what of a text survives the different ways that PDFs are read. */
const bare = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");

const PROBE = 24;

/**
 * Which pieces of a page's text belong to a passage: their indexes.
 *
 * Readers of PDFs differ in spaces, hyphens and line ends, so bare letters are compared; a passage that begins or ends on
 * another page is found by the part of it that is here.
 */
export function piecesOf(passage: string, pieces: string[]): number[] {
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
    return start < to && end > from ? [index] : [];
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
