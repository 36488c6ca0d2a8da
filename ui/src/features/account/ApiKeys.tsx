import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { CopyButton } from "@/shared/ui/CopyButton";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { apiKeysQuery, useCreateApiKey, useRevokeApiKey } from "./api";

const SCOPES = ["chat", "conversations:read", "conversations:write", "files:read", "files:write", "models:read"] as const;
/** Days that a key may be good for; 0 is until it is revoked. */
const LIFETIMES = [30, 90, 365, 0] as const;
const DAY_MS = 86_400_000;

/** Keys that programs sign in with: made, seen by their first characters, revoked. */
export function ApiKeys() {
  const t = useT();
  const { date, dateTime } = useFormats();
  const { data, error } = useQuery(apiKeysQuery);
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<{ id: string; name: string } | null>(null);
  if (error) return <ErrorNotice error={error} />;
  return (
    <>
      <p>{t("keys.explain")}</p>
      {data && data.items.length > 0 && (
        <ul className="sessions">
          {data.items.map(({ id, name, prefix, scopes, expires_at, last_used_at }) => (
            <li key={id} className="session">
              <span className="session__text">
                {name} <code>{prefix}…</code>
                <small>
                  {[
                    scopes.join(", "),
                    last_used_at ? t("keys.lastUsed", { time: dateTime(last_used_at) }) : t("keys.neverUsed"),
                    expires_at
                      ? t(new Date(expires_at) < new Date() ? "keys.expired" : "keys.expires", { date: date(expires_at) })
                      : t("keys.noEnd"),
                  ].join(" · ")}
                </small>
              </span>
              <Button aria-label={t("keys.revokeOf", { name })} onClick={() => setRevoking({ id, name })}>
                {t("keys.revoke")}
              </Button>
            </li>
          ))}
        </ul>
      )}
      <Button icon="plus" onClick={() => setCreating(true)}>
        {t("keys.create")}
      </Button>
      {creating && <CreateDialog onClose={() => setCreating(false)} />}
      {revoking && <RevokeDialog apiKey={revoking} onClose={() => setRevoking(null)} />}
    </>
  );
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const create = useCreateApiKey();
  const [scopes, setScopes] = useState<readonly (typeof SCOPES)[number][]>(["chat", "models:read"]);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const name = data.get("name");
    const days = Number(data.get("days"));
    if (typeof name !== "string") return;
    const expires_at = days > 0 ? new Date(Date.now() + days * DAY_MS).toISOString() : null;
    create.mutate({ name: name.trim(), scopes: [...scopes], expires_at });
  }

  if (create.data) return <ShownOnce name={create.data.name} value={create.data.key} onClose={onClose} />;
  return (
    <Modal title={t("keys.create")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {create.error && <ErrorNotice error={create.error} />}
        <Field label={t("keys.name")} name="name" hint={t("keys.nameHint")} maxLength={100} pattern=".*\S.*" required />
        <fieldset className="choices choices--list">
          <legend>{t("keys.scopes")}</legend>
          {SCOPES.map((scope) => (
            <label key={scope} className="choice">
              <input
                type="checkbox"
                checked={scopes.includes(scope)}
                onChange={({ target }) =>
                  setScopes((chosen) => (target.checked ? [...chosen, scope] : chosen.filter((other) => other !== scope)))
                }
              />
              {t(`scope.${scope}`)}
            </label>
          ))}
        </fieldset>
        <fieldset className="choices">
          <legend>{t("keys.lifetime")}</legend>
          {LIFETIMES.map((days) => (
            <label key={days} className="choice">
              <input type="radio" name="days" value={days} defaultChecked={days === 90} />
              {days === 0 ? t("keys.noEnd") : t("keys.days", { count: days })}
            </label>
          ))}
        </fieldset>
        <FormActions onCancel={onClose} action={t("keys.create")} disabled={create.isPending || scopes.length === 0} />
      </form>
    </Modal>
  );
}

function ShownOnce({ name, value, onClose }: { name: string; value: string; onClose: () => void }) {
  const t = useT();
  return (
    <Modal keeps title={name} text={t("keys.shownOnce")} onClose={onClose}>
      <p className="key">
        <code>{value}</code>
        <CopyButton text={value} label={t("keys.copy")} />
      </p>
      <div className="dialog__actions">
        <Button kind="primary" onClick={onClose}>
          {t("keys.done")}
        </Button>
      </div>
    </Modal>
  );
}

function RevokeDialog({ apiKey, onClose }: { apiKey: { id: string; name: string }; onClose: () => void }) {
  const t = useT();
  const revoke = useRevokeApiKey();
  return (
    <ConfirmDialog
      title={t("keys.revokeOf", { name: apiKey.name })}
      text={t("keys.revokeExplain")}
      action={t("keys.revoke")}
      work={revoke}
      onConfirm={() => revoke.mutate(apiKey.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
