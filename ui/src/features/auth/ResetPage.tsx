import { useT } from "@/shared/i18n";
import { NewPasswordForm } from "@/shared/ui/NewPasswordForm";
import { useResetPassword } from "./api";
import "./auth.css";

/** Set a new password by the token of a letter, which the address carries behind its `#`. */
export function ResetPage({ token, onDone }: { token: string; onDone: () => void }) {
  const t = useT();
  const reset = useResetPassword();
  return (
    <main className="sign-in__panel sign-in__panel--alone">
      <NewPasswordForm
        title={<h1>{t("auth.resetTitle")}</h1>}
        error={reset.error}
        pending={reset.isPending}
        onSave={(password) => reset.mutate({ token, password }, { onSuccess: onDone })}
      />
    </main>
  );
}
