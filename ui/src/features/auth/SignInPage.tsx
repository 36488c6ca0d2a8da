import { useState, type FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Logo } from "@/shared/ui/Logo";
import { useSignIn, useSignUp } from "./api";
import { ForgotDialog } from "./ForgotDialog";
import "./auth.css";

const text = (form: FormData, name: string): string => {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
};

/** Sign in or register; `onDone` follows once the session is there. */
export function SignInPage({ onDone }: { onDone: () => void }) {
  const t = useT();
  const [registering, setRegistering] = useState(false);
  const signIn = useSignIn();
  const signUp = useSignUp();
  const action = registering ? signUp : signIn;

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const username = text(form, "username").trim();
    const password = text(form, "password");
    if (registering) signUp.mutate({ username, email: text(form, "email").trim(), password }, { onSuccess: onDone });
    else signIn.mutate({ username, password }, { onSuccess: onDone });
  }

  return (
    <main className="sign-in">
      <section className="sign-in__brand" aria-hidden="true">
        <p className="sign-in__mark">
          <Logo size={36} />
          {t("app.name")}
        </p>
        <p className="sign-in__pitch">{t("auth.pitch")}</p>
        <SamplePassage />
      </section>
      <section className="sign-in__panel">
        <form className="sign-in__form" onSubmit={submit}>
          <div className="sign-in__name">
            <Logo size={28} />
            {t("app.name")}
          </div>
          <h1>{registering ? t("auth.welcomeNew") : t("auth.welcome")}</h1>
          {action.error && <ErrorNotice error={action.error} />}
          <Field
            key={registering ? "name" : "login"}
            label={registering ? t("auth.username") : t("auth.login")}
            name="username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
          />
          {registering && <Field label={t("auth.email")} name="email" type="email" autoComplete="email" required />}
          <Field
            label={t("auth.password")}
            name="password"
            type="password"
            autoComplete={registering ? "new-password" : "current-password"}
            minLength={registering ? 8 : undefined}
            hint={registering ? t("auth.passwordHint") : undefined}
            required
          />
          <Button type="submit" kind="primary" disabled={action.isPending}>
            {registering ? t("auth.signUp") : t("auth.signIn")}
          </Button>
          <OtherWays registering={registering} onSwitch={() => setRegistering(!registering)} />
        </form>
      </section>
    </main>
  );
}

function OtherWays({ registering, onSwitch }: { registering: boolean; onSwitch: () => void }) {
  const t = useT();
  const [forgot, setForgot] = useState(false);
  return (
    <>
      <p className="sign-in__other">
        {t(registering ? "auth.haveAccount" : "auth.noAccount")}{" "}
        <button type="button" className="text-button" onClick={onSwitch}>
          {t(registering ? "auth.toSignIn" : "auth.toSignUp")}
        </button>
      </p>
      {!registering && (
        <p className="sign-in__other">
          <button type="button" className="text-button" onClick={() => setForgot(true)}>
            {t("auth.forgot")}
          </button>
        </p>
      )}
      {forgot && <ForgotDialog onClose={() => setForgot(false)} />}
    </>
  );
}

/** A page with one marked passage: what the service does, without words. */
function SamplePassage() {
  return (
    <svg className="sign-in__sample" viewBox="0 0 320 240" role="presentation">
      <rect x="8" y="8" width="220" height="224" rx="10" className="sample__page" />
      {[36, 56, 76, 156, 176, 196].map((y, index) => (
        <rect key={y} x="30" y={y} width={[170, 150, 176, 160, 176, 96][index]} height="7" rx="3.5" className="sample__line" />
      ))}
      <rect x="24" y="96" width="188" height="46" rx="5" className="sample__mark" />
      <rect x="30" y="104" width="170" height="7" rx="3.5" className="sample__ink" />
      <rect x="30" y="125" width="120" height="7" rx="3.5" className="sample__ink" />
      <path d="M214 119 C 244 119, 244 84, 262 84" className="sample__thread" />
      <rect x="262" y="70" width="30" height="28" rx="8" className="sample__chip" />
      <text x="277" y="89.5" textAnchor="middle" className="sample__number">
        1
      </text>
    </svg>
  );
}
