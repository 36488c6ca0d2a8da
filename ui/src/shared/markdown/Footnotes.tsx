import { createContext, useContext } from "react";
import { useT } from "@/shared/i18n";
import { Inline } from "./Inline";
import type { FootnoteToken } from "./syntax";

/** What makes the names of one text's footnotes its own among all texts of the page. */
export const FootnotesContext = createContext("");

const usePlace = (label: string): string => `${useContext(FootnotesContext)}${label}`;

export function FootnoteReference({ token: { label } }: { token: FootnoteToken }) {
  const t = useT();
  const place = usePlace(label);
  return (
    <sup>
      <button
        type="button"
        className="md-footnote-ref"
        aria-label={t("chat.footnote", { label })}
        onClick={() => document.getElementById(place)?.scrollIntoView({ block: "nearest" })}
      >
        {label}
      </button>
    </sup>
  );
}

export function Footnote({ token: { label, tokens } }: { token: FootnoteToken }) {
  return (
    <div id={usePlace(label)} className="md-footnote" dir="auto" role="note">
      <sup>{label}</sup> <Inline tokens={tokens} />
    </div>
  );
}
