export interface Piece {
  text: string;
  hit: boolean;
}

/** Cut a text at its hits, given as [start, end) in characters; what overlaps or lies outside is put right. */
export function pieces(text: string, hits: readonly (readonly number[])[]): Piece[] {
  const result: Piece[] = [];
  let at = 0;
  for (const [start = 0, end = 0] of [...hits].sort(([a = 0], [b = 0]) => a - b)) {
    const from = Math.max(at, Math.min(start, text.length));
    const to = Math.max(from, Math.min(end, text.length));
    if (from > at) result.push({ text: text.slice(at, from), hit: false });
    if (to > from) result.push({ text: text.slice(from, to), hit: true });
    at = to;
  }
  if (at < text.length) result.push({ text: text.slice(at), hit: false });
  return result;
}
