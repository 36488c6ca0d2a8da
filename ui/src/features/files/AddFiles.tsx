import { useState } from "react";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";
import { useErrorText } from "@/shared/ui/ErrorNotice";
import { useFilePicker } from "@/shared/ui/useFilePicker";
import { DropZone } from "./DropZone";
import { FileChooser } from "./FileChooser";
import { useUploads } from "./useUploads";

interface AddFilesProps {
  libraryId: string;
  /** Ids of the files that it holds already. */
  there: string[];
  onAdd: (fileIds: string[]) => void;
}

/** Adds files to a shared library: new ones, or some of one's own. */
export function AddFiles({ libraryId, there, onAdd }: AddFilesProps) {
  const t = useT();
  const say = useErrorText();
  const uploads = useUploads({ libraryId });
  const add = (files: File[]) => uploads.add(files, null);
  const { pick, field } = useFilePicker(add);
  const [chosen, setChosen] = useState<string[] | null>(null);
  return (
    <div className="add-files">
      <Button kind="primary" icon="upload" onClick={pick}>
        {t("files.upload")}
      </Button>
      <Button icon="folder" onClick={() => setChosen([])}>
        {t("libraries.addMine")}
      </Button>
      {field}
      {uploads.uploads.map(({ key, file, error }) => (
        <p key={key} className="field__hint" role={error === null ? undefined : "alert"}>
          {file.name}: {error === null ? t("files.sending") : say(error)}
        </p>
      ))}
      {chosen && (
        <Modal keeps={chosen.length > 0} title={t("libraries.addMine")} onClose={() => setChosen(null)}>
          <FileChooser chosen={[...there, ...chosen]} onChoose={(ids) => setChosen(ids.filter((id) => !there.includes(id)))} />
          <div className="dialog__actions">
            <Button onClick={() => setChosen(null)}>{t("app.cancel")}</Button>
            <Button
              kind="primary"
              disabled={chosen.length === 0}
              onClick={() => {
                onAdd(chosen);
                setChosen(null);
              }}
            >
              {t("libraries.add")}
            </Button>
          </div>
        </Modal>
      )}
      <DropZone onFiles={add} />
    </div>
  );
}
