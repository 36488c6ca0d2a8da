import type { FormEvent, ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { Button, Field } from "./controls";
import { ErrorNotice } from "./ErrorNotice";

interface NewPasswordFormProps {
  error: Error | null;
  pending: boolean;
  onSave: (password: string) => void;
  /** What stands above the field. */
  title?: ReactNode;
  /** The way out, where there is one. */
  onCancel?: () => void;
}

/** One field for a new password; the same whether one sets one's own by a letter or an administrator sets it. */
export function NewPasswordForm({ error, pending, onSave, title, onCancel }: NewPasswordFormProps) {
  const t = useT();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const password = new FormData(event.currentTarget).get("password");
    if (typeof password === "string") onSave(password);
  }

  return (
    <form className="new-password" onSubmit={submit}>
      {title}
      {error && <ErrorNotice error={error} />}
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
        {onCancel && <Button onClick={onCancel}>{t("app.cancel")}</Button>}
        <Button type="submit" kind="primary" disabled={pending}>
          {t("app.save")}
        </Button>
      </div>
    </form>
  );
}
