import { useState, type FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { CopyButton } from "@/shared/ui/CopyButton";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, CodeField, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import {
  useBeginTwoFactor,
  useConfirmTwoFactor,
  useRenewRecoveryCodes,
  useSwitchTwoFactorOff,
  type TwoFactorSetup,
  type WaysToSignIn,
} from "./api";

type Dialog = "on" | "off" | "codes";

const text = (form: HTMLFormElement, name: string): string => {
  const value = new FormData(form).get(name);
  return typeof value === "string" ? value : "";
};

/** A second factor for an account with a password: an authenticator app, and codes for when the phone is lost. */
export function TwoFactor({ ways }: { ways: WaysToSignIn }) {
  const t = useT();
  const [open, setOpen] = useState<Dialog | null>(null);
  const close = () => setOpen(null);
  return (
    <>
      {ways.second_factor_required && <p className="notice">{t("twoFactor.required")}</p>}
      <p>
        {t(ways.two_factor ? "twoFactor.isOn" : "twoFactor.explain", { count: ways.recovery_codes_left })}
      </p>
      <div className="account__buttons">
        {ways.two_factor ? (
          <>
            <Button onClick={() => setOpen("codes")}>{t("twoFactor.newCodes")}</Button>
            <Button onClick={() => setOpen("off")}>{t("twoFactor.off")}</Button>
          </>
        ) : (
          <Button onClick={() => setOpen("on")}>{t("twoFactor.on")}</Button>
        )}
      </div>
      {open === "on" && <SetUpDialog onClose={close} />}
      {open === "off" && <OffDialog onClose={close} />}
      {open === "codes" && <NewCodesDialog onClose={close} />}
    </>
  );
}

/** First the password, then the app's code, then the recovery codes. */
function SetUpDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const begin = useBeginTwoFactor();
  const confirm = useConfirmTwoFactor();
  if (confirm.data) return <RecoveryCodes codes={confirm.data.recovery_codes} onClose={onClose} />;
  if (begin.data) return <AppDialog setup={begin.data} confirm={confirm} onClose={onClose} />;
  return (
    <PasswordDialog
      title={t("twoFactor.title")}
      text={t("twoFactor.explain")}
      action={t("twoFactor.next")}
      error={begin.error}
      pending={begin.isPending}
      onSubmit={(password) => begin.mutate(password)}
      onClose={onClose}
    />
  );
}

interface AppDialogProps {
  setup: TwoFactorSetup;
  confirm: ReturnType<typeof useConfirmTwoFactor>;
  onClose: () => void;
}

function AppDialog({ setup, confirm, onClose }: AppDialogProps) {
  const t = useT();
  return (
    <Modal keeps title={t("twoFactor.title")} text={t("twoFactor.scan")} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          confirm.mutate(text(event.currentTarget, "code").trim());
        }}
      >
        <img
          className="qr"
          alt={t("twoFactor.qr")}
          src={`data:image/svg+xml;utf8,${encodeURIComponent(setup.qr_svg)}`}
        />
        <p className="key">
          <code>{setup.secret.replace(/(.{4})(?=.)/g, "$1 ")}</code>
          <CopyButton text={setup.secret} label={t("twoFactor.copySecret")} />
        </p>
        {confirm.error && <ErrorNotice error={confirm.error} />}
        <CodeField />
        <FormActions onCancel={onClose} action={t("twoFactor.on")} disabled={confirm.isPending} />
      </form>
    </Modal>
  );
}

function NewCodesDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const renew = useRenewRecoveryCodes();
  if (renew.data) return <RecoveryCodes codes={renew.data.recovery_codes} onClose={onClose} />;
  return (
    <PasswordDialog
      title={t("twoFactor.newCodes")}
      text={t("twoFactor.newCodesExplain")}
      action={t("twoFactor.newCodes")}
      error={renew.error}
      pending={renew.isPending}
      onSubmit={(password) => renew.mutate(password)}
      onClose={onClose}
    />
  );
}

function OffDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const off = useSwitchTwoFactorOff();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    off.mutate({ password: text(form, "password"), code: text(form, "code").trim() }, { onSuccess: onClose });
  }

  return (
    <Modal title={t("twoFactor.off")} text={t("auth.codeHint")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {off.error && <ErrorNotice error={off.error} />}
        <Field label={t("auth.password")} name="password" type="password" autoComplete="current-password" required />
        <CodeField />
        <FormActions onCancel={onClose} kind="danger" action={t("twoFactor.off")} disabled={off.isPending} />
      </form>
    </Modal>
  );
}

interface PasswordDialogProps {
  title: string;
  text?: string;
  action: string;
  error: unknown;
  pending: boolean;
  onSubmit: (password: string) => void;
  onClose: () => void;
}

function PasswordDialog({ title, text: explain, action, error, pending, onSubmit, onClose }: PasswordDialogProps) {
  const t = useT();
  return (
    <Modal title={title} text={explain} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit(text(event.currentTarget, "password"));
        }}
      >
        {error !== null && <ErrorNotice error={error} />}
        <Field label={t("auth.password")} name="password" type="password" autoComplete="current-password" required />
        <FormActions onCancel={onClose} action={action} disabled={pending} />
      </form>
    </Modal>
  );
}

function RecoveryCodes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  const t = useT();
  return (
    <Modal keeps title={t("twoFactor.codes")} text={t("twoFactor.codesExplain")} onClose={onClose}>
      <ul className="recovery-codes">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <div className="dialog__actions">
        <CopyButton text={codes.join("\n")} label={t("twoFactor.copyCodes")} />
        <Button kind="primary" onClick={onClose}>
          {t("keys.done")}
        </Button>
      </div>
    </Modal>
  );
}
