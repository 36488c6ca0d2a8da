import type { FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useChangePassword } from "./api";

const text = (value: FormDataEntryValue | null): string => (typeof value === "string" ? value : "");

export function Password() {
  const t = useT();
  const change = useChangePassword();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const data = new FormData(form);
    change.mutate(
      { current_password: text(data.get("current")), new_password: text(data.get("new")) },
      { onSuccess: () => form.reset() },
    );
  }

  return (
    <form className="dialog-form" onSubmit={submit}>
      {change.error && <ErrorNotice error={change.error} />}
      {change.isSuccess && (
        <p className="notice" role="status">
          {t("account.passwordChanged")}
        </p>
      )}
      <Field label={t("account.currentPassword")} name="current" type="password" autoComplete="current-password" required />
      <Field
        label={t("account.newPassword")}
        name="new"
        type="password"
        autoComplete="new-password"
        minLength={8}
        hint={t("auth.passwordHint")}
        required
      />
      <Button type="submit" disabled={change.isPending}>
        {t("account.changePassword")}
      </Button>
    </form>
  );
}
