import type { FormEvent } from "react";
import type { User } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { usePatchUser } from "./api";

export function PasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const t = useT();
  const patch = usePatchUser();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const password = new FormData(event.currentTarget).get("password");
    if (typeof password === "string") patch.mutate({ id: user.id, password }, { onSuccess: onClose });
  }

  return (
    <Modal title={t("admin.resetFor", { name: user.username })} onClose={onClose}>
      <form className="password-dialog" onSubmit={submit}>
        {patch.error && <ErrorNotice error={patch.error} />}
        <Field
          label={t("account.newPassword")}
          name="password"
          type="password"
          autoComplete="new-password"
          minLength={8}
          hint={t("auth.passwordHint")}
          required
        />
        <div className="dialog__actions">
          <Button onClick={onClose}>{t("app.cancel")}</Button>
          <Button type="submit" kind="primary" disabled={patch.isPending}>
            {t("app.save")}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
