import { at } from "@/shared/root";
import * as pdfjs from "pdfjs-dist";
import worker from "pdfjs-dist/build/pdf.worker.min.mjs?url";
import { useEffect, useRef, useState } from "react";
import { useT } from "@/shared/i18n";
import { IconButton, Spinner } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { drawPage, type Box } from "./drawPage";
import type { Place } from "./place";

pdfjs.GlobalWorkerOptions.workerSrc = worker;

/** A PDF, one page at a time, beginning with the one that the passage is on. */
export default function PdfPages({ place }: { place: Place }) {
  const t = useT();
  const { pdf, error } = usePdf(place.fileId);
  const [page, setPage] = useState(place.page ?? 1);
  if (error !== null) return <ErrorNotice error={error} />;
  if (!pdf)
    return (
      <div className="page-message">
        <Spinner label={t("app.loading")} />
      </div>
    );
  return (
    <>
      <div className="panel__pager">
        <IconButton small icon="left" label={t("citation.previousPage")} disabled={page <= 1} onClick={() => setPage(page - 1)} />
        <span>
          {t("citation.page", { page })} / {pdf.numPages}
        </span>
        <IconButton
          small
          icon="right"
          label={t("citation.nextPage")}
          disabled={page >= pdf.numPages}
          onClick={() => setPage(page + 1)}
        />
      </div>
      <PdfPage key={page} pdf={pdf} number={page} passage={place.snippet} />
    </>
  );
}

function usePdf(fileId: string): { pdf: pdfjs.PDFDocumentProxy | null; error: unknown } {
  const [pdf, setPdf] = useState<pdfjs.PDFDocumentProxy | null>(null);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    const task = pdfjs.getDocument({
      url: at(`/api/v1/files/${fileId}/content`),
      cMapUrl: at("/pdfjs/cmaps/"),
      standardFontDataUrl: at("/pdfjs/standard_fonts/"),
      wasmUrl: at("/pdfjs/wasm/"),
      iccUrl: at("/pdfjs/iccs/"),
      enableXfa: false,
    });
    let current = true;
    task.promise.then(
      (document) => current && setPdf(document),
      (reason: unknown) => current && setError(reason),
    );
    return () => {
      current = false;
      void task.destroy();
    };
  }, [fileId]);
  return { pdf, error };
}

interface PdfPageProps {
  pdf: pdfjs.PDFDocumentProxy;
  number: number;
  passage: string;
}

function PdfPage({ pdf, number, passage }: PdfPageProps) {
  const t = useT();
  const canvas = useRef<HTMLCanvasElement>(null);
  const first = useRef<HTMLDivElement>(null);
  const [boxes, setBoxes] = useState<Box[]>([]);
  const [error, setError] = useState<unknown>(null);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const abort = new AbortController();
    drawPage(pdf, number, passage, element, abort.signal).then(
      (found) => !abort.signal.aborted && setBoxes(found),
      (reason: unknown) => !abort.signal.aborted && setError(reason),
    );
    return () => abort.abort();
  }, [pdf, number, passage]);
  useEffect(() => {
    first.current?.scrollIntoView({ block: "center" });
  }, [boxes]);

  return (
    // The page scrolls, so the keyboard has to reach it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="panel__body" tabIndex={0} role="region" aria-label={t("citation.page", { page: number })}>
      {error !== null && <ErrorNotice error={error} />}
      <div className="pdf-page" role="img" aria-label={t("citation.page", { page: number })}>
        <canvas ref={canvas} />
        {boxes.map((box, index) => (
          <div key={index} ref={index === 0 ? first : undefined} className="pdf-page__mark" style={box} />
        ))}
      </div>
    </div>
  );
}
