import { useQuery } from "@tanstack/react-query";
import { useRef, type ReactNode } from "react";
import { ApiError } from "@/shared/api/errors";
import type { Message } from "@/shared/api/types";
import { useEscape } from "@/shared/hooks/useEscape";
import { usePanelFocus } from "@/shared/hooks/usePanelFocus";
import { useT } from "@/shared/i18n";
import { IconButton, Spinner } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { traceQuery } from "./api";
import { Candidates } from "./Candidates";
import { Details, Prompt } from "./Prompt";
import { Timeline } from "./Timeline";
import type { Trace } from "./types";
import "./trace.css";

interface TracePanelProps {
  answer: Message;
  /** The form that asks again under other settings. */
  again: ReactNode;
  onClose: () => void;
}

/** Why an answer is what it is: the run's steps, the passages it had, the prompt that the model was sent. */
export function TracePanel({ answer, again, onClose }: TracePanelProps) {
  const t = useT();
  const heading = useRef<HTMLHeadingElement>(null);
  const { data, error, isLoading } = useQuery(traceQuery(answer.id));
  usePanelFocus(heading, answer.id);
  useEscape(true, onClose);
  const missing = error instanceof ApiError && error.status === 404;
  return (
    <aside className="panel" aria-label={t("trace.title")}>
      <header className="panel__head">
        <h2 ref={heading} tabIndex={-1} className="panel__title">
          {t("trace.title")}
        </h2>
        <IconButton icon="close" label={t("app.close")} onClick={onClose} />
      </header>
      {/* The panel scrolls, so the keyboard has to reach it. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="panel__body trace" tabIndex={0} role="region" aria-label={t("trace.timeline")}>
        {isLoading && <Spinner label={t("app.loading")} />}
        {missing && <p className="notice">{t("trace.missing")}</p>}
        {error && !missing && <ErrorNotice error={error} />}
        {data && (
          <details className="again-fold">
            <summary>{t("trace.again")}</summary>
            {again}
          </details>
        )}
        {data && <Reasons trace={data} />}
      </div>
    </aside>
  );
}

function Reasons({ trace }: { trace: Trace }) {
  return (
    <>
      <Timeline nodes={trace.nodes} />
      <Candidates trace={trace} />
      <Prompt trace={trace} />
      <Details trace={trace} />
    </>
  );
}
