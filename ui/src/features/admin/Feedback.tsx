import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { FeedbackEntry } from "@/shared/api/types";
import { useT, type Key } from "@/shared/i18n";
import { en } from "@/shared/i18n/en";
import { useFormats } from "@/shared/i18n/format";
import { Markdown } from "@/shared/markdown/Markdown";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { MoreButton } from "@/shared/ui/MoreButton";
import { feedbackQuery } from "./api";

const KINDS = ["down", "up"] as const;

/** What people think of answers; question and answer only where they show them. */
export function Feedback() {
  const t = useT();
  const [kind, setKind] = useState<(typeof KINDS)[number]>("down");
  const query = useInfiniteQuery(feedbackQuery(kind));
  const entries = query.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <fieldset className="choices">
        <legend className="visually-hidden">{t("admin.feedback")}</legend>
        {KINDS.map((each) => (
          <label key={each} className="choice">
            <input type="radio" name="feedback-kind" checked={kind === each} onChange={() => setKind(each)} />
            {t(each === "up" ? "chat.good" : "chat.bad")}
          </label>
        ))}
      </fieldset>
      {query.error && <ErrorNotice error={query.error} />}
      {query.isSuccess && entries.length === 0 && <p>{t("admin.noFeedback")}</p>}
      {entries.length > 0 && (
        <ul className="feedback" aria-label={t("admin.feedback")}>
          {entries.map((entry) => (
            <Entry key={entry.message_id} entry={entry} />
          ))}
        </ul>
      )}
      <MoreButton query={query} />
    </>
  );
}

function Entry({ entry }: { entry: FeedbackEntry }) {
  const t = useT();
  const { dateTime } = useFormats();
  const { rating, reasons, comment, username, model_name: model, question, answer, rated_at: at } = entry;
  return (
    <li className="feedback__entry">
      <p className="feedback__head">
        <Icon name={rating} size={16} />
        <strong>{username}</strong>
        {model && <span>{model}</span>}
        <time dateTime={at}>{dateTime(at)}</time>
      </p>
      {reasons.length > 0 && (
        <p>
          {reasons.map((reason) => (
            <span key={reason} className="badge">
              {`feedback.${reason}` in en ? t(`feedback.${reason}` as Key) : reason}
            </span>
          ))}
        </p>
      )}
      {comment && <p>{comment}</p>}
      {answer !== null && (
        <details>
          <summary>{t("admin.feedbackTexts")}</summary>
          {question && <blockquote>{question}</blockquote>}
          <Markdown text={answer} />
        </details>
      )}
    </li>
  );
}
