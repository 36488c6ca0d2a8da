import type { StoredFile } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ProgressBar } from "@/shared/ui/controls";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem, MenuLine } from "@/shared/ui/Menu";
import { contentAddress, inWork, useProcessFile } from "./api";
import { FileState } from "./Attachments";

interface FileRowProps {
  file: StoredFile;
  onPreview: (file: StoredFile) => void;
  onAttach: () => void;
  onDelete: () => void;
}

/** One file of the library. */
export function FileRow({ file, onPreview, onAttach, onDelete }: FileRowProps) {
  const t = useT();
  const formats = useFormats();
  const { mutate: again } = useProcessFile();
  const { name } = file;
  return (
    <li className="file-row" data-status={file.status}>
      <Icon name={file.status === "failed" ? "warn" : "file"} size={20} />
      <span className="file-row__main">
        <button type="button" className="attachment__name" onClick={() => onPreview(file)}>
          {name}
        </button>
        <FileState file={file} />
        {inWork(file) && <ProgressBar share={file.progress} label={t("files.progress", { name })} />}
      </span>
      <span className="file-row__size">{formats.bytes(file.size)}</span>
      <time className="file-row__date" dateTime={file.created_at}>
        {formats.date(file.created_at)}
      </time>
      <Menu
        trigger={
          <button type="button" className="icon-button" aria-label={t("files.actions", { name })}>
            <Icon name="dots" />
          </button>
        }
      >
        <MenuItem icon="search" onSelect={() => onPreview(file)}>
          {t("files.preview")}
        </MenuItem>
        <MenuItem icon="chat" onSelect={onAttach}>
          {t("files.attach")}
        </MenuItem>
        <MenuItem icon="refresh" disabled={inWork(file)} onSelect={() => again(file.id)}>
          {t("files.again")}
        </MenuItem>
        <MenuItem icon="download" onSelect={() => location.assign(contentAddress(file.id))}>
          {t("files.download")}
        </MenuItem>
        <MenuLine />
        <MenuItem icon="trash" danger onSelect={onDelete}>
          {t("app.delete")}
        </MenuItem>
      </Menu>
    </li>
  );
}
