import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import type { ErasureReport, User } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { FormActions } from "@/shared/ui/FormActions";
import { Modal } from "@/shared/ui/Modal";
import { erasureQuery, useErase } from "./retention";

/** Erases a person: shows what would go and what stays, asks for the name, then shows what went. */
export function EraseDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const t = useT();
  const erase = useErase(user.id);
  const { data, error } = useQuery({ ...erasureQuery(user.id), enabled: !erase.data });
  const [typed, setTyped] = useState("");

  function submit(event: FormEvent) {
    event.preventDefault();
    erase.mutate();
  }

  if (erase.data)
    return (
      <Modal keeps title={t("erase.done", { name: user.username })} wide onClose={onClose}>
        <Report report={erase.data} />
        <div className="dialog__actions">
          <Button kind="primary" onClick={onClose}>
            {t("app.close")}
          </Button>
        </div>
      </Modal>
    );
  return (
    <Modal title={t("erase.ask", { name: user.username })} wide onClose={onClose}>
      {error && <ErrorNotice error={error} />}
      {data && (
        <form className="dialog-form" onSubmit={submit}>
          <Report report={data} />
          {erase.error && <ErrorNotice error={erase.error} />}
          <Field
            label={t("erase.typeName", { name: user.username })}
            value={typed}
            autoComplete="off"
            onChange={({ target }) => setTyped(target.value)}
          />
          <FormActions
            onCancel={onClose}
            action={t("erase.action")}
            kind="danger"
            disabled={typed.trim() !== user.username || erase.isPending}
          />
        </form>
      )}
    </Modal>
  );
}

/** What goes, or went, and what stays and why. */
function Report({ report }: { report: ErasureReport }) {
  const t = useT();
  const { dry_run: dry, account, removed, kept } = report;
  return (
    <div className="erasure">
      {account === "kept" && <p>{t("erase.accountStays")}</p>}
      <h3>{t(dry ? "erase.goes" : "erase.went")}</h3>
      <ul>
        {removed.map(({ store, count }) => (
          <li key={store}>
            <span>{t(`erase.store.${store}`)}</span>
            <span>{count}</span>
          </li>
        ))}
      </ul>
      <h3>{t(dry ? "erase.stays" : "erase.stayed")}</h3>
      <ul>
        {kept.map(({ store, count, reason }) => (
          <li key={`${store} ${reason}`}>
            <span>
              {t(`erase.store.${store}`)} <small>{t(`erase.reason.${reason}`)}</small>
            </span>
            <span>{count ?? "–"}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
