import type { FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useResetPassword } from "./api";
import "./auth.css";

/** Set a new password by the token of a letter, which the address carries behind its `#`. */
export function ResetPage({ token, onDone }: { token: string; onDone: () => void }) {
  const t = useT();
  const reset = useResetPassword();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const password = new FormData(event.currentTarget).get("password");
    if (typeof password === "string") reset.mutate({ token, password }, { onSuccess: onDone });
  }

  return (
    <main className="sign-in__panel sign-in__panel--alone">
      <form className="sign-in__form" onSubmit={submit}>
        <h1>{t("auth.resetTitle")}</h1>
        {reset.error && <ErrorNotice error={reset.error} />}
        <Field
          label={t("account.newPassword")}
          name="password"
          type="password"
          autoComplete="new-password"
          minLength={8}
          hint={t("auth.passwordHint")}
          required
        />
        <Button type="submit" kind="primary" disabled={reset.isPending}>
          {t("app.save")}
        </Button>
      </form>
    </main>
  );
}
