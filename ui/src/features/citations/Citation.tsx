import type { Source } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Tip } from "@/shared/ui/controls";
import type { Place } from "./place";
import "./citations.css";

const TIP_CHARACTERS = 420;

/** A passage as a few lines of prose: without the marks of headings, and without its empty lines. */
const prose = (passage: string): string => passage.replace(/^#{1,6}\s+/gm, "").replace(/\s*\n\s*/g, "\n").trim();

/** Where a source is shown: at the sentence that the answer rests on, else at the passage that was found. */
export const placeOf = (source: Source): Place => {
  const { start, end, page, text } = source.highlight ?? { ...source, text: source.snippet };
  return { fileId: source.file_id, fileName: source.file_name, page: page ?? null, start, end, snippet: text };
};

interface CitationProps {
  source: Source;
  look: "number" | "name";
  onOpen: (place: Place) => void;
}

/** The button of a source; hovering shows the passage, a click opens it in its document. */
export function Citation({ source, look, onOpen }: CitationProps) {
  const t = useT();
  const name = t("citation.source", { n: source.n });
  const at = placeOf(source).page;
  const page = at ? t("citation.page", { page: at }) : null;
  const passage = prose(source.snippet);
  const tip = (
    <span className="citation-tip">
      <strong>{[source.file_name, page].filter(Boolean).join(" · ")}</strong>
      <span className="citation-tip__passage">
        {source.available ? passage.slice(0, TIP_CHARACTERS) : t("citation.withheld")}
        {passage.length > TIP_CHARACTERS && "…"}
      </span>
    </span>
  );
  return (
    <Tip text={tip}>
      <button
        type="button"
        className={`citation citation--${look}`}
        onClick={() => onOpen(placeOf(source))}
      >
        <span className="visually-hidden">{look === "name" ? `${name}: ` : name}</span>
        <span className="citation__number" aria-hidden="true">
          {source.n}
        </span>
        {look === "name" && <span className="citation__file">{source.file_name}</span>}
        {look === "name" && page && <span className="citation__page">{page}</span>}
      </button>
    </Tip>
  );
}
