import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { statsQuery } from "@/shared/api/stats";
import type { StoredFile } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useFilePicker } from "@/shared/ui/useFilePicker";
import { useToast } from "@/shared/ui/Toasts";
import { filesQuery, useDeleteFile } from "./api";
import { Attachments } from "./Attachments";
import { AttachDialog } from "./AttachDialog";
import { DropZone } from "./DropZone";
import { FileRow } from "./FileRow";
import { useUploads } from "./useUploads";
import "./files.css";

interface FilesPageProps {
  onPreview: (file: StoredFile) => void;
  onOpenConversation: (id: string) => void;
}

/** All of one's files: add, look at, attach to a conversation, index again, delete. */
export function FilesPage({ onPreview, onOpenConversation }: FilesPageProps) {
  const t = useT();
  const { data: files = [], error, isSuccess } = useQuery(filesQuery(null));
  const uploads = useUploads();
  const [attaching, setAttaching] = useState<StoredFile | null>(null);
  const [deleting, setDeleting] = useState<StoredFile | null>(null);
  const add = (list: File[]) => uploads.add(list, null);
  const { pick, field } = useFilePicker(add);

  return (
    <div className="files-page">
      <div className="files-page__bar">
        <Usage files={files} />
        <Button kind="primary" icon="upload" onClick={pick}>
          {t("files.upload")}
        </Button>
        {field}
      </div>
      {error && <ErrorNotice error={error} />}
      <Attachments conversationId={null} uploads={uploads} onPreview={onPreview} />
      {isSuccess && files.length === 0 && <p className="files-page__empty">{t("files.empty")}</p>}
      {files.length > 0 && (
        <ul className="file-list" aria-label={t("files.title")}>
          {files.map((file) => (
            <FileRow
              key={file.id}
              file={file}
              onPreview={onPreview}
              onAttach={() => setAttaching(file)}
              onDelete={() => setDeleting(file)}
            />
          ))}
        </ul>
      )}
      {attaching && (
        <AttachDialog file={attaching} onClose={() => setAttaching(null)} onOpenConversation={onOpenConversation} />
      )}
      {deleting && <DeleteDialog file={deleting} onClose={() => setDeleting(null)} />}
      <DropZone onFiles={add} />
    </div>
  );
}

function Usage({ files }: { files: StoredFile[] }) {
  const t = useT();
  const { bytes } = useFormats();
  const { data: stats } = useQuery(statsQuery);
  if (!stats && files.length === 0) return <div className="files-page__usage" />;
  const used = Math.max(stats?.bytes ?? 0, files.reduce((sum, file) => sum + file.size, 0));
  const limit = stats?.bytes_limit ?? null;
  return (
    <div className="files-page__usage">
      <p>
        {t("files.count", { count: Math.max(stats?.files ?? 0, files.length) })} ·{" "}
        {limit === null
          ? t("files.used", { used: bytes(used) })
          : t("files.usedOf", { used: bytes(used), limit: bytes(limit) })}
      </p>
      {limit !== null && <meter min={0} max={limit} high={limit * 0.9} value={used} aria-label={t("files.quota")} />}
    </div>
  );
}

function DeleteDialog({ file, onClose }: { file: StoredFile; onClose: () => void }) {
  const t = useT();
  const toast = useToast();
  const remove = useDeleteFile();
  const confirm = () =>
    remove.mutate(file.id, {
      onSuccess: () => {
        toast({ text: t("files.deleted") });
        onClose();
      },
    });
  return (
    <ConfirmDialog
      title={t("files.deleteTitle", { name: file.name })}
      text={t("files.deleteExplain")}
      work={remove}
      onConfirm={confirm}
      onClose={onClose}
    />
  );
}
