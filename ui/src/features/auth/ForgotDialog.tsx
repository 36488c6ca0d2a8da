import type { FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { FormActions } from "@/shared/ui/FormActions";
import { Modal } from "@/shared/ui/Modal";
import { useForgotPassword } from "./api";

/** Ask for a letter with a link to set a new password; the answer is the same whoever asks. */
export function ForgotDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const forgot = useForgotPassword();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    // React hands events of a dialog on to what opened it, and that is another form.
    event.stopPropagation();
    const email = new FormData(event.currentTarget).get("email");
    if (typeof email === "string") forgot.mutate(email.trim());
  }

  return (
    <Modal title={t("auth.forgotTitle")} text={t("auth.forgotExplain")} onClose={onClose}>
      {forgot.isSuccess ? (
        <>
          <p className="notice" role="status">
            {t("auth.forgotSent")}
          </p>
          <div className="dialog__actions">
            <Button onClick={onClose}>{t("app.close")}</Button>
          </div>
        </>
      ) : (
        <form className="sign-in__form" onSubmit={submit}>
          {forgot.error && <ErrorNotice error={forgot.error} />}
          <Field label={t("auth.email")} name="email" type="email" autoComplete="email" required />
          <FormActions onCancel={onClose} action={t("auth.forgotSend")} disabled={forgot.isPending} />
        </form>
      )}
    </Modal>
  );
}
