import { useState, type FormEvent } from "react";
import { useT } from "@/shared/i18n";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { collectData, useDeleteAccount } from "./api";

/** Take everything along, or have it deleted. */
export function Data({ hasPassword }: { hasPassword: boolean }) {
  const t = useT();
  const [count, setCount] = useState<number | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [deleting, setDeleting] = useState(false);

  async function exportAll() {
    setError(null);
    setCount(0);
    try {
      save("llama-service.json", await collectData(setCount));
    } catch (failure) {
      setError(failure);
    } finally {
      setCount(null);
    }
  }

  return (
    <>
      {error !== null && <ErrorNotice error={error} />}
      <p>{t("account.exportHint")}</p>
      <div className="account__buttons">
        <Button icon="download" disabled={count !== null} onClick={() => void exportAll()}>
          {count === null ? t("account.export") : t("account.exporting", { count })}
        </Button>
        <Button kind="danger" onClick={() => setDeleting(true)}>
          {t("account.delete")}
        </Button>
      </div>
      {deleting && <DeleteDialog hasPassword={hasPassword} onClose={() => setDeleting(false)} />}
    </>
  );
}

function save(name: string, data: object): void {
  const address = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}

interface DeleteDialogProps {
  hasPassword: boolean;
  onClose: () => void;
}

function DeleteDialog({ hasPassword, onClose }: DeleteDialogProps) {
  const t = useT();
  const remove = useDeleteAccount();

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const password = new FormData(event.currentTarget).get("password");
    remove.mutate(typeof password === "string" ? password : "");
  }

  return (
    <Modal title={t("account.delete")} text={t("account.deleteExplain")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {remove.error && <ErrorNotice error={remove.error} />}
        {hasPassword ? (
          <Field label={t("auth.password")} name="password" type="password" autoComplete="current-password" required />
        ) : (
          <p>{t("account.deleteFresh")}</p>
        )}
        <FormActions onCancel={onClose} kind="danger" action={t("account.delete")} disabled={remove.isPending} />
      </form>
    </Modal>
  );
}
