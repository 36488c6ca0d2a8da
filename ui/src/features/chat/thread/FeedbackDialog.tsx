import { useState } from "react";
import type { FeedbackReason, Message } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button, TextArea } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";
import { useActions } from "./actions";

const REASONS = [
  "wrong",
  "incomplete",
  "sources",
  "ignored_request",
  "style",
  "slow",
  "harmful",
  "other",
] as const satisfies FeedbackReason[];

/** Say what was wrong with an answer; administrators see it, and the texts where they may. */
export function FeedbackDialog({ message, onClose }: { message: Message; onClose: () => void }) {
  const t = useT();
  const { rate } = useActions();
  const given = message.feedback?.rating === "down" ? message.feedback : null;
  const [reasons, setReasons] = useState<string[]>(given?.reasons ?? []);
  const [comment, setComment] = useState(given?.comment ?? "");
  const [showText, setShowText] = useState(given?.show_text ?? false);
  return (
    <Modal title={t("feedback.title")} text={t("feedback.explain")} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          const chosen = REASONS.filter((reason) => reasons.includes(reason));
          rate(message, { rating: "down", reasons: chosen, comment: comment.trim() || null, show_text: showText });
          onClose();
        }}
      >
        <fieldset className="choices">
          <legend>{t("feedback.reasons")}</legend>
          {REASONS.map((reason) => (
            <label key={reason} className="choice">
              <input
                type="checkbox"
                checked={reasons.includes(reason)}
                onChange={({ target }) =>
                  setReasons(target.checked ? [...reasons, reason] : reasons.filter((other) => other !== reason))
                }
              />
              {t(`feedback.${reason}`)}
            </label>
          ))}
        </fieldset>
        <TextArea
          label={t("feedback.comment")}
          rows={3}
          maxLength={4000}
          value={comment}
          onChange={({ target }) => setComment(target.value)}
        />
        <label className="check">
          <input type="checkbox" checked={showText} onChange={({ target }) => setShowText(target.checked)} />
          {t("feedback.showText")}
        </label>
        <div className="dialog__actions">
          {given && (
            <Button
              onClick={() => {
                rate(message, null);
                onClose();
              }}
            >
              {t("feedback.withdraw")}
            </Button>
          )}
          <Button onClick={onClose}>{t("app.close")}</Button>
          <Button kind="primary" type="submit">
            {t("feedback.send")}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
