import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { Button, Spinner } from "@/shared/ui/controls";
import { passageQuery } from "./api";
import { candidatesOf, verdictOf, type Candidate, type Trace } from "./types";

const FIRST = 8;

/** The passages that were considered, best first, with their scores as bars. */
export function Candidates({ trace }: { trace: Trace }) {
  const t = useT();
  const [all, setAll] = useState(false);
  const verdict = verdictOf(trace);
  const candidates = candidatesOf(trace).toSorted((a, b) => b.score - a.score);
  const best = Math.max(1e-9, ...candidates.map(({ score }) => score));
  return (
    <section>
      <h3>{t("trace.candidates")}</h3>
      {verdict !== null && <p className="trace__note">{t(`trace.verdict.${verdict}`)}</p>}
      {verdict === null && candidates.length === 0 && <p className="trace__note">{t("trace.noCandidates")}</p>}
      <ol className="candidates">
        {candidates.slice(0, all ? undefined : FIRST).map((candidate) => (
          <Row key={`${candidate.file_id} ${candidate.position}`} candidate={candidate} best={best} />
        ))}
      </ol>
      {!all && candidates.length > FIRST && <Button onClick={() => setAll(true)}>{t("app.more")}</Button>}
    </section>
  );
}

function Row({ candidate, best }: { candidate: Candidate; best: number }) {
  const t = useT();
  const { number } = useFormats();
  const [open, setOpen] = useState(false);
  const { file_name: name, position, score, lexical, vector, chosen } = candidate;
  return (
    <li className={`candidate ${chosen ? "candidate--chosen" : ""}`}>
      <span className="candidate__name">
        {name}{" "}
        <button type="button" className="text-button" aria-expanded={open} onClick={() => setOpen(!open)}>
          {t("trace.passage", { n: position + 1 })}
        </button>
      </span>
      <span className={chosen ? "badge badge--marker" : "badge"}>{chosen ? t("trace.used") : t("trace.unused")}</span>
      <span className="candidate__bar" aria-hidden="true">
        <span style={{ width: `${(100 * Math.max(0, score)) / best}%` }} />
      </span>
      <small className="candidate__scores">
        {t("trace.score")} {number(round(score))} · {t("trace.lexical")} {number(round(lexical))} · {t("trace.dense")}{" "}
        {number(round(vector))}
      </small>
      {open && <Passage fileId={candidate.file_id} position={position} />}
    </li>
  );
}

/** The passage's own words, as the file is now. */
function Passage({ fileId, position }: { fileId: string; position: number }) {
  const t = useT();
  const { data, error } = useQuery(passageQuery(fileId, position));
  if (error) return <p className="candidate__text">{t("trace.passageGone")}</p>;
  return data ? <p className="candidate__text">{data.text}</p> : <Spinner label={t("app.loading")} />;
}

const round = (value: number | undefined): number => Math.round((value ?? 0) * 100) / 100;
