import { useQuery } from "@tanstack/react-query";
import { isPicture } from "@/shared/api/pictures";
import type { Attachment, StoredFile } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { IconButton, ProgressBar } from "@/shared/ui/controls";
import { useErrorText, useFailureText } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Picture } from "@/shared/ui/Picture";
import { filesQuery, inWork, useDetachFile, useProcessFile } from "./api";
import { Replacements } from "./Replacements";
import type { Upload, Uploads } from "./useUploads";
import "./files.css";

interface AttachmentsProps {
  conversationId: string | null;
  uploads: Uploads;
  onPreview: (file: StoredFile) => void;
}

/** The files that the next question comes with, above its composer: on their way, in work, ready or failed. */
export function Attachments({ conversationId, uploads, onPreview }: AttachmentsProps) {
  const t = useT();
  const { data: files = [] } = useQuery({ ...filesQuery(conversationId, true), enabled: conversationId !== null });
  const sending = uploads.uploads.filter((upload) => upload.conversationId === conversationId);
  return (
    <>
      <Replacements conversationId={conversationId} uploads={uploads} />
      {(conversationId === null ? 0 : files.length) + sending.length > 0 && (
        <ul className="attachments" aria-label={t("files.attached")}>
          {sending.map((upload) => (
            <Sending key={upload.key} upload={upload} uploads={uploads} />
          ))}
          {conversationId !== null &&
            files.map((file) => (
              <Attached key={file.id} file={file} conversationId={conversationId} onPreview={onPreview} />
            ))}
        </ul>
      )}
    </>
  );
}

function Sending({ upload, uploads }: { upload: Upload; uploads: Uploads }) {
  const t = useT();
  const say = useErrorText();
  const { name } = upload.file;
  const failed = upload.error !== null;
  return (
    <li className={`attachment ${failed ? "attachment--failed" : ""}`}>
      <Icon name={failed ? "warn" : "file"} size={16} />
      <span className="attachment__text">
        <span className="attachment__name">{name}</span>
        <small>{failed ? say(upload.error) : t("files.sending")}</small>
        {!failed && <ProgressBar share={upload.sent} label={t("files.progress", { name })} />}
      </span>
      {failed && (
        <IconButton small icon="refresh" label={t("app.retry")} onClick={() => uploads.retry(upload)} />
      )}
      {failed && (
        <IconButton small icon="close" label={t("files.remove", { name })} onClick={() => uploads.dismiss(upload.key)} />
      )}
    </li>
  );
}

interface AttachedProps {
  file: StoredFile;
  conversationId: string;
  onPreview: (file: StoredFile) => void;
}

function Attached({ file, conversationId, onPreview }: AttachedProps) {
  const t = useT();
  const { mutate: detach } = useDetachFile();
  const { mutate: again } = useProcessFile();
  const failed = file.status === "failed";
  const { name } = file;
  return (
    <li className={`attachment ${failed ? "attachment--failed" : ""}`} data-status={file.status}>
      {isPicture(file) ? <Picture small fileId={file.id} name={name} /> : <Icon name={failed ? "warn" : "file"} size={16} />}
      <span className="attachment__text">
        {isPicture(file) ? (
          <span className="attachment__name">{name}</span>
        ) : (
          <button type="button" className="attachment__name" onClick={() => onPreview(file)}>
            {name}
          </button>
        )}
        <FileState file={file} />
        {inWork(file) && <ProgressBar share={file.progress} label={t("files.progress", { name })} />}
      </span>
      {failed && <IconButton small icon="refresh" label={t("app.retry")} onClick={() => again(file.id)} />}
      <IconButton small icon="close" label={t("files.remove", { name })} onClick={() => detach({ id: file.id, conversationId })} />
    </li>
  );
}

interface SentFileProps {
  attachment: Attachment;
  conversationId: string;
  onPreview: (file: StoredFile) => void;
}

/** A file on the question that came with it. */
export function SentFile({ attachment, conversationId, onPreview }: SentFileProps) {
  const t = useT();
  const { mutate: again } = useProcessFile();
  const { data: files } = useQuery(filesQuery(conversationId));
  const file = files?.find(({ id }) => id === attachment.file_id);
  const failed = file?.status === "failed";
  // Deleted or replaced meanwhile: the question is shown without it, as it will be when it is read anew.
  if (files && !file) return null;
  // Drawn by the question itself.
  if (file && isPicture(file)) return null;
  return (
    <li className={`attachment ${failed ? "attachment--failed" : ""}`} data-status={file?.status}>
      <Icon name={failed ? "warn" : "file"} size={16} />
      <span className="attachment__text">
        <button type="button" className="attachment__name" disabled={!file} onClick={() => file && onPreview(file)}>
          {attachment.name}
        </button>
        {file && (failed || inWork(file)) && <FileState file={file} />}
      </span>
      {failed && <IconButton small icon="refresh" label={t("app.retry")} onClick={() => again(file.id)} />}
    </li>
  );
}

/** Where a file stands: its stage while it is in work, its reason where it failed. */
export function FileState({ file }: { file: StoredFile }) {
  const t = useT();
  const say = useFailureText();
  if (file.status === "failed") return <small className="file-state--failed">{say(file.error)}</small>;
  if (inWork(file)) return <small>{t(`stage.${file.stage}`)}</small>;
  if (isPicture(file) && file.chunks_total === 0) return null;
  return (
    <small title={file.error ? say(file.error) : undefined}>
      {t(`file.${file.status}`)} · {t("files.passages", { count: file.chunks_indexed })}
    </small>
  );
}
