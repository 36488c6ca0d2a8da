import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError } from "@/shared/api/errors";
import { methodsQuery, signInAddress } from "@/shared/api/signIn";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useRemoveIdentity, type WaysToSignIn } from "./api";

/** Accounts at sign-in providers that this one is signed in to by, and how to add one. */
export function Identities({ ways, problem }: { ways: WaysToSignIn; problem?: string }) {
  const t = useT();
  const { dateTime } = useFormats();
  const { data: methods } = useQuery(methodsQuery);
  const [removing, setRemoving] = useState<WaysToSignIn["identities"][number] | null>(null);
  const linked = new Set(ways.identities.map((identity) => identity.provider));
  const others = methods?.oidc.filter((provider) => !linked.has(provider.name)) ?? [];
  return (
    <>
      {problem && <ErrorNotice error={new ApiError(401, problem, "")} />}
      {ways.identities.length > 0 && (
        <ul className="sessions">
          {ways.identities.map((identity) => (
            <li key={identity.id} className="session">
              <span className="session__text">
                {identity.label}
                <small>
                  {[identity.email, t("account.lastSignIn", { time: dateTime(identity.last_sign_in_at) })]
                    .filter(Boolean)
                    .join(" · ")}
                </small>
              </span>
              {(ways.has_password || ways.identities.length > 1) && (
                <Button
                  aria-label={t("account.removeIdentityOf", { label: identity.label })}
                  onClick={() => setRemoving(identity)}
                >
                  {t("account.removeIdentity")}
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
      {others.length > 0 && (
        <div className="account__buttons">
          {others.map(({ name, label }) => (
            <a key={name} className="button" href={signInAddress(name, "/account", true)}>
              {t("account.addIdentity", { label })}
            </a>
          ))}
        </div>
      )}
      {removing && <RemoveDialog identity={removing} onClose={() => setRemoving(null)} />}
    </>
  );
}

function RemoveDialog({ identity, onClose }: { identity: { id: string; label: string }; onClose: () => void }) {
  const t = useT();
  const remove = useRemoveIdentity();
  return (
    <ConfirmDialog
      title={t("account.removeIdentityOf", { label: identity.label })}
      text={t("account.removeIdentityExplain")}
      action={t("account.removeIdentity")}
      work={remove}
      onConfirm={() => remove.mutate(identity.id, { onSuccess: onClose })}
      onClose={onClose}
    />
  );
}
