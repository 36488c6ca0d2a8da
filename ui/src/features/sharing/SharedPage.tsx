import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, type ReactNode } from "react";
import { ApiError } from "@/shared/api/errors";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { citing, CitationContext } from "@/shared/markdown/context";
import { Markdown } from "@/shared/markdown/Markdown";
import { Spinner } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { sharedQuery, type Shared } from "./api";
import "./sharing.css";

type Message = Shared["messages"][number];

/** A conversation that somebody shares, as it was then; `entry` leads to where one signs in. */
export function SharedPage({ token, entry }: { token: string; entry: ReactNode }) {
  const t = useT();
  const { date } = useFormats();
  const { data, error } = useQuery(sharedQuery(token));
  const title = data?.title || t("conversations.untitled");
  useEffect(() => {
    if (data) document.title = `${title} · ${t("app.name")}`;
  }, [data, title, t]);
  if (error)
    return (
      <main className="page-message">
        <h1>{t("shares.gone")}</h1>
        {error instanceof ApiError && error.status === 404 ? <p>{t("shares.goneHint")}</p> : <ErrorNotice error={error} />}
        {entry}
      </main>
    );
  if (!data)
    return (
      <main className="page-message">
        <Spinner label={t("app.loading")} />
      </main>
    );
  return (
    <main className="shared">
      <header className="shared__head">
        <h1>{title}</h1>
        <p>{t("shares.by", { owner: data.owner, date: date(data.created_at) })}</p>
      </header>
      {data.messages.map((message, index) => (
        <SharedMessage key={index} message={message} />
      ))}
    </main>
  );
}

function SharedMessage({ message }: { message: Message }) {
  const t = useT();
  const { content, sources, model_name: model } = message;
  const cite = useMemo(() => citing(sources, drawn), [sources]);
  if (message.role === "user")
    return (
      <article className="message message--user" aria-label={t("shares.question")}>
        <div className="message__bubble">
          <Markdown text={content} breaks />
        </div>
      </article>
    );
  return (
    <article className="message message--answer" aria-label={t("chat.assistant")}>
      <CitationContext value={cite}>
        <Markdown text={content} />
      </CitationContext>
      {sources.length > 0 && (
        <details className="shared__sources">
          <summary>{t("chat.sources")}</summary>
          <ol>
            {sources.map(({ n, file_name: name, page, snippet, available }) => (
              <li key={n} value={n}>
                <strong>{name}</strong>
                {page && ` · ${t("citation.page", { page })}`}
                <p>{available ? snippet : t("citation.withheldShared")}</p>
              </li>
            ))}
          </ol>
        </details>
      )}
      {model && <small className="shared__model">{model}</small>}
    </article>
  );
}

const drawn = ({ n, file_name: name }: Message["sources"][number]) => <abbr title={name}>[{n}]</abbr>;
