import { useState } from "react";
import type { Library } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { FormActions } from "@/shared/ui/FormActions";
import { Field, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { useSaveLibrary } from "./api";

interface LibraryFormProps {
  /** The one that is changed, null for a new one. */
  library: Library | null;
  onClose: () => void;
  onSaved?: (library: Library) => void;
}

/** Make a library, or change its name and description. */
export function LibraryForm({ library, onClose, onSaved }: LibraryFormProps) {
  const t = useT();
  const save = useSaveLibrary();
  const [name, setName] = useState(library?.name ?? "");
  const [description, setDescription] = useState(library?.description ?? "");
  const submit = () =>
    save.mutate(
      { ...(library ? { id: library.id } : {}), name, description: description || null },
      {
        onSuccess: (saved) => {
          onSaved?.(saved);
          onClose();
        },
      },
    );
  return (
    <Modal title={t(library ? "libraries.edit" : "libraries.new")} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        {save.error && <ErrorNotice error={save.error} />}
        <Field
          label={t("libraries.name")}
          maxLength={100}
          required
          value={name}
          onChange={({ target }) => setName(target.value)}
        />
        <TextArea
          label={t("libraries.description")}
          rows={3}
          maxLength={400}
          value={description}
          onChange={({ target }) => setDescription(target.value)}
        />
        <FormActions onCancel={onClose} disabled={save.isPending || name.trim() === ""} />
      </form>
    </Modal>
  );
}
