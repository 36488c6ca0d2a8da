import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { ApiError } from "@/shared/api/errors";
import { methodsQuery, signInAddress } from "@/shared/api/signIn";
import { useT } from "@/shared/i18n";
import { Button, CodeField, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Logo } from "@/shared/ui/Logo";
import { invitationQuery, useSignIn, useSignUp } from "./api";
import { ForgotDialog } from "./ForgotDialog";
import "./auth.css";

interface Credentials {
  username: string;
  password: string;
}

const text = (form: FormData, name: string): string => {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
};

interface SignInPageProps {
  /** The page's path that follows a sign-in through a provider. */
  to: string;
  /** The code of what kept such a sign-in from its end. */
  problem?: string;
  /** The token of an invitation's link: one may register by it. */
  invitation?: string;
  onDone: () => void;
}

/** Sign in or register; `onDone` follows once the session is there. */
export function SignInPage({ to, problem, invitation, onDone }: SignInPageProps) {
  const t = useT();
  const invited = useInvitation(invitation);
  const [chosen, setRegistering] = useState<boolean | null>(null);
  const registering = chosen ?? invited === "good";
  const [credentials, setCredentials] = useState<Credentials | null>(null);
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
        <div className="sign-in__form">
          <div className="sign-in__name">
            <Logo size={28} />
            {t("app.name")}
          </div>
          <h1>{t(credentials ? "auth.codeTitle" : registering ? "auth.welcomeNew" : "auth.welcome")}</h1>
          {problem && !credentials && <ErrorNotice error={new ApiError(401, problem, "")} />}
          {invited === "over" && (
            <p className="notice notice--error" role="alert">
              {t("auth.invitationOver")}
            </p>
          )}
          {credentials ? (
            <CodeForm credentials={credentials} onDone={onDone} onBack={() => setCredentials(null)} />
          ) : invited === "unknown" && chosen === null ? null : (
            // What becomes known of an invitation must not change a form under one's hands.
            <WaysIn
              to={to}
              registering={registering}
              invitation={invited === "good" ? invitation : undefined}
              onRegistering={setRegistering}
              onDone={onDone}
              onCode={setCredentials}
            />
          )}
        </div>
      </section>
    </main>
  );
}

/** How an invitation stands; nothing where there is none, or where that can't be told. */
function useInvitation(token: string | undefined): "good" | "over" | "unknown" | undefined {
  const { data, isLoading } = useQuery({ ...invitationQuery(token ?? ""), enabled: token !== undefined });
  if (!data) return isLoading ? "unknown" : undefined;
  return data.is_good ? "good" : "over";
}

interface WaysInProps {
  to: string;
  registering: boolean;
  invitation: string | undefined;
  onRegistering: (registering: boolean) => void;
  onDone: () => void;
  onCode: (credentials: Credentials) => void;
}

/** The ways in that the operator has opened: the company's account, a password. */
function WaysIn({ to, registering, invitation, onRegistering, onDone, onCode }: WaysInProps) {
  const t = useT();
  const { data: methods, error } = useQuery(methodsQuery);
  if (error) return <ErrorNotice error={error} />;
  if (!methods) return null;
  const { oidc, password, registration } = methods;
  return (
    <>
      {oidc.length > 0 && <Providers providers={oidc} to={to} />}
      {oidc.length > 0 && password && <p className="sign-in__or">{t("auth.or")}</p>}
      {password && (
        <>
          <PasswordForm
            registering={registering}
            onInput={() => onRegistering(registering)}
            invitation={invitation}
            isSecond={oidc.length > 0}
            onDone={onDone}
            onCode={onCode}
          />
          <OtherWays
            registering={registering}
            canRegister={registration || invitation !== undefined}
            onSwitch={() => onRegistering(!registering)}
          />
        </>
      )}
    </>
  );
}

/** Where the company's people sign in: the browser goes there and comes back. */
function Providers({ providers, to }: { providers: readonly { name: string; label: string }[]; to: string }) {
  const t = useT();
  return (
    <div className="sign-in__providers">
      {providers.map(({ name, label }) => (
        <a key={name} className="button button--primary" href={signInAddress(name, to)}>
          {t("auth.through", { label })}
        </a>
      ))}
    </div>
  );
}

interface PasswordFormProps {
  registering: boolean;
  onInput: () => void;
  invitation: string | undefined;
  /** Whether another way in comes first. */
  isSecond: boolean;
  onDone: () => void;
  /** The password is right, and a code of the authenticator app is asked for. */
  onCode: (credentials: Credentials) => void;
}

function PasswordForm({ registering, onInput, invitation, isSecond, onDone, onCode }: PasswordFormProps) {
  const t = useT();
  const signIn = useSignIn();
  const signUp = useSignUp();
  const action = registering ? signUp : signIn;
  const wantsCode = action.error instanceof ApiError && action.error.code === "code_required";

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const credentials = { username: text(form, "username").trim(), password: text(form, "password") };
    if (registering)
      signUp.mutate({ ...credentials, email: text(form, "email").trim(), invitation }, { onSuccess: onDone });
    else
      signIn.mutate(credentials, {
        onSuccess: onDone,
        onError: (failed) => failed instanceof ApiError && failed.code === "code_required" && onCode(credentials),
      });
  }

  return (
    <form className="sign-in__fields" onInput={onInput} onSubmit={submit}>
      {action.error && !wantsCode && <ErrorNotice error={action.error} />}
      <Field
        key={registering ? "name" : "login"}
        label={registering ? t("auth.username") : t("auth.login")}
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        hint={registering ? t("auth.usernameHint") : undefined}
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
      <Button type="submit" kind={isSecond ? undefined : "primary"} disabled={action.isPending}>
        {registering ? t("auth.signUp") : t("auth.signIn")}
      </Button>
    </form>
  );
}

interface CodeFormProps {
  credentials: Credentials;
  onDone: () => void;
  onBack: () => void;
}

/** The second factor: a code of the authenticator app, or a recovery code. */
function CodeForm({ credentials, onDone, onBack }: CodeFormProps) {
  const t = useT();
  const signIn = useSignIn();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    signIn.mutate({ ...credentials, code: text(new FormData(event.currentTarget), "code").trim() }, { onSuccess: onDone });
  }

  return (
    <form className="sign-in__fields" onSubmit={submit}>
      {signIn.error && <ErrorNotice error={signIn.error} />}
      <CodeField hint={t("auth.codeHint")} />
      <Button type="submit" kind="primary" disabled={signIn.isPending}>
        {t("auth.signIn")}
      </Button>
      <p className="sign-in__other">
        <button type="button" className="text-button" onClick={onBack}>
          {t("auth.back")}
        </button>
      </p>
    </form>
  );
}

interface OtherWaysProps {
  registering: boolean;
  canRegister: boolean;
  onSwitch: () => void;
}

function OtherWays({ registering, canRegister, onSwitch }: OtherWaysProps) {
  const t = useT();
  const [forgot, setForgot] = useState(false);
  return (
    <>
      {(canRegister || registering) && (
        <p className="sign-in__other">
          {t(registering ? "auth.haveAccount" : "auth.noAccount")}{" "}
          <button type="button" className="text-button" onClick={onSwitch}>
            {t(registering ? "auth.toSignIn" : "auth.toSignUp")}
          </button>
        </p>
      )}
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
