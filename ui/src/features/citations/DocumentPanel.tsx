import { lazyPart } from "@/shared/ui/lazyPart";
import { at } from "@/shared/root";
import { useQuery } from "@tanstack/react-query";
import { Suspense, useEffect, useRef, useState } from "react";
import { ApiError } from "@/shared/api/errors";
import type { FileText, StoredFile } from "@/shared/api/types";
import { useEscape } from "@/shared/hooks/useEscape";
import { usePanelFocus } from "@/shared/hooks/usePanelFocus";
import { useT } from "@/shared/i18n";
import { Button, IconButton, Spinner } from "@/shared/ui/controls";
import { ErrorNotice, useFailureText } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { fileQuery, fileTextQuery } from "./api";
import { windowAround, type Place } from "./place";

const PdfPages = lazyPart(() => import("./PdfPages"));
const REACH = 12_000;

/** A document beside the chat, at the place that an answer cites. */
export function DocumentPanel({ place, onClose }: { place: Place; onClose: () => void }) {
  const t = useT();
  const heading = useRef<HTMLHeadingElement>(null);
  usePanelFocus(heading, place);
  useEscape(true, onClose);
  const gone = isMissing(useQuery(fileQuery(place.fileId)).error);
  return (
    <aside className="panel" aria-label={t("citation.panel")}>
      <header className="panel__head">
        <h2 ref={heading} tabIndex={-1} className="panel__title">
          {place.fileName}
        </h2>
        {!gone && (
          <a
            className="icon-button"
            href={at(`/api/v1/files/${place.fileId}/content`)}
            download={place.fileName}
            aria-label={t("citation.openFile")}
          >
            <Icon name="download" />
          </a>
        )}
        <IconButton icon="close" label={t("app.close")} onClick={onClose} />
      </header>
      <Content key={`${place.fileId} ${place.start}`} place={place} />
    </aside>
  );
}

const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

function Content({ place }: { place: Place }) {
  const t = useT();
  const file = useQuery(fileQuery(place.fileId));
  const text = useQuery(fileTextQuery(place.fileId));
  const [asText, setAsText] = useState(false);
  const isPdf = file.data?.mime === "application/pdf";
  const unread = isMissing(text.error);
  const { refetch } = text;
  const status = file.data?.status;
  useEffect(() => {
    if (unread && status === "completed") void refetch();
  }, [unread, status, refetch]);

  if (isMissing(file.error)) return <Gone place={place} />;
  if (file.data && unread) return <Unread failure={file.data.error} />;
  if (text.error && !unread) return <ErrorNotice error={text.error} />;
  if (!text.data || file.isLoading)
    return (
      <div className="page-message">
        <Spinner label={t("app.loading")} />
      </div>
    );
  if (!isPdf) return <TextContent text={text.data} place={place} />;
  return (
    <>
      <div className="panel__tabs" role="group">
        <Button aria-pressed={!asText} onClick={() => setAsText(false)}>
          {t("citation.asPages")}
        </Button>
        <Button aria-pressed={asText} onClick={() => setAsText(true)}>
          {t("citation.asText")}
        </Button>
      </div>
      {asText ? (
        <TextContent text={text.data} place={place} />
      ) : (
        <Suspense fallback={<Spinner label={t("app.loading")} />}>
          <PdfPages place={place} />
        </Suspense>
      )}
    </>
  );
}

/** A file without text: one that is still being read, or that could not be. */
function Unread({ failure }: { failure: StoredFile["error"] }) {
  const t = useT();
  const say = useFailureText();
  return (
    <div className="panel__body">
      <p className="notice">{failure ? say(failure) : t("citation.unread")}</p>
    </div>
  );
}

function Gone({ place }: { place: Place }) {
  const t = useT();
  return (
    <div className="panel__body">
      <p className="notice">{t("citation.gone")}</p>
      <div className="document">
        <mark>{place.snippet}</mark>
      </div>
    </div>
  );
}

function TextContent({ text: { text, pages }, place }: { text: FileText; place: Place }) {
  const t = useT();
  const [reach, setReach] = useState(REACH);
  const mark = useRef<HTMLElement>(null);
  const { before, marked, after, cutBefore, cutAfter } = windowAround(text, place.start, place.end, reach, place.snippet);
  const page = place.page ?? pages.find(({ start, end }) => start <= place.start && place.start < end)?.page;

  useEffect(() => {
    mark.current?.scrollIntoView({ block: "start" });
  }, []);

  return (
    // The document scrolls, so the keyboard has to reach it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="panel__body" tabIndex={0} role="region" aria-label={place.fileName}>
      {page !== undefined && pages.length > 0 && <p className="panel__page">{t("citation.page", { page })}</p>}
      {cutBefore > 0 && <Button onClick={() => setReach(reach * 4)}>{t("app.more")}</Button>}
      <div className="document">
        {before}
        {marked && (
          <mark ref={mark} aria-label={t("citation.passage")}>
            {marked}
          </mark>
        )}
        {after}
      </div>
      {cutAfter > 0 && <Button onClick={() => setReach(reach * 4)}>{t("app.more")}</Button>}
    </div>
  );
}
