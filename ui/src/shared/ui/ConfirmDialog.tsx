import type { ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { Button } from "./controls";
import { ErrorNotice } from "./ErrorNotice";
import { Modal } from "./Modal";

interface ConfirmDialogProps {
  title: string;
  text?: ReactNode;
  /** The word on the button; without one it is "Delete". */
  action?: string;
  /** What does it: `error` is why it could not be done. */
  work: { isPending: boolean; error: unknown };
  onConfirm: () => void;
  onClose: () => void;
}

/** Asks before something is gone for good. */
export function ConfirmDialog({ title, text, action, work, onConfirm, onClose }: ConfirmDialogProps) {
  const t = useT();
  return (
    <Modal title={title} text={text} onClose={onClose}>
      {Boolean(work.error) && <ErrorNotice error={work.error} />}
      <div className="dialog__actions">
        <Button onClick={onClose}>{t("app.cancel")}</Button>
        <Button kind="danger" disabled={work.isPending} onClick={onConfirm}>
          {action ?? t("app.delete")}
        </Button>
      </div>
    </Modal>
  );
}
