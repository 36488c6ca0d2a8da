import { Util, type PDFDocumentProxy } from "pdfjs-dist";
import { piecesOf } from "./match";

/** A place on the page in CSS terms: shares of its width and height. */
export interface Box {
  left: string;
  top: string;
  width: string;
  height: string;
}

/** Page pixels for each CSS pixel of a page that is as wide as the panel. */
const WIDTH_PX = 760;

/** Draw a page and return the places of the passage on it. */
export async function drawPage(
  pdf: PDFDocumentProxy,
  number: number,
  passage: string,
  canvas: HTMLCanvasElement,
  signal: AbortSignal,
): Promise<Box[]> {
  const page = await pdf.getPage(number);
  const natural = page.getViewport({ scale: 1 });
  const viewport = page.getViewport({ scale: (WIDTH_PX * Math.min(2, devicePixelRatio)) / natural.width });
  if (signal.aborted) return [];
  canvas.width = Math.floor(viewport.width);
  canvas.height = Math.floor(viewport.height);
  const task = page.render({ canvas, viewport });
  signal.addEventListener("abort", () => task.cancel());
  const [content] = await Promise.all([page.getTextContent(), task.promise]);

  const items = content.items.filter((item) => "str" in item);
  const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(3)}%`;
  return piecesOf(passage, items.map((item) => item.str)).flatMap(({ index, from, to }) => {
    const item = items[index];
    if (!item || item.width === 0) return [];
    // Letters differ in width, so the place within a line is a good guess; the rest of the line is not marked.
    const before = item.dir === "rtl" ? 1 - to : from;
    const [a, b, , , x, y] = Util.transform(viewport.transform, item.transform) as number[];
    const height = Math.hypot(a ?? 0, b ?? 0);
    return [
      {
        left: percent((x ?? 0) + item.width * viewport.scale * before, viewport.width),
        top: percent((y ?? 0) - height, viewport.height),
        width: percent(item.width * viewport.scale * (to - from), viewport.width),
        height: percent(height * 1.2, viewport.height),
      },
    ];
  });
}
