import { useQuery } from "@tanstack/react-query";
import { useLayoutEffect, useRef } from "react";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { useFilePicker } from "@/shared/ui/useFilePicker";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { filesQuery } from "./api";
import { FileState } from "./Attachments";
import { useUploads } from "./useUploads";
import "./files.css";

interface FileChooserProps {
  chosen: string[];
  onChoose: (fileIds: string[]) => void;
}

/** Choose among one's files, or add some. */
export function FileChooser({ chosen, onChoose }: FileChooserProps) {
  const t = useT();
  const { data: files = [], error, isSuccess } = useQuery(filesQuery(null));
  // Several may arrive, or be chosen, before what was said of the first is drawn.
  const latest = useRef(chosen);
  useLayoutEffect(() => {
    latest.current = chosen;
  }, [chosen]);
  const choose = (id: string, wanted: boolean) => {
    latest.current = latest.current.filter((other) => other !== id);
    if (wanted) latest.current = [...latest.current, id];
    onChoose(latest.current);
  };
  const uploads = useUploads({ onArrived: ({ id }) => choose(id, true) });
  const { pick, field } = useFilePicker((added) => uploads.add(added, null));
  return (
    <div className="file-chooser">
      {error && <ErrorNotice error={error} />}
      {isSuccess && files.length === 0 && <p className="field__hint">{t("files.none")}</p>}
      <ul className="file-chooser__list" aria-label={t("files.title")}>
        {files.map((file) => (
          <li key={file.id}>
            <label className="check">
              <input
                type="checkbox"
                checked={chosen.includes(file.id)}
                onChange={({ target }) => choose(file.id, target.checked)}
              />
              <span className="file-chooser__name">{file.name}</span>
              <FileState file={file} />
            </label>
          </li>
        ))}
      </ul>
      {uploads.uploads.map(({ key, file, error: failure }) => (
        <p key={key} className="field__hint">
          {file.name}: {failure ? t("file.failed") : t("files.sending")}
        </p>
      ))}
      <Button icon="upload" onClick={pick}>
        {t("files.upload")}
      </Button>
      {field}
    </div>
  );
}
