import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import type { Library, StoredFile } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { libraryFilesQuery, useDeleteLibrary, useTakeOut } from "./api";
import { Marks } from "./LibrariesPage";
import { LibraryForm } from "./LibraryForm";
import { Members } from "./Members";
import "./libraries.css";

interface LibraryPageProps {
  library: Library;
  onPreview: (file: StoredFile) => void;
  onGone: () => void;
  /** Draws how far a file is. */
  state: (file: StoredFile) => ReactNode;
  /** Adds files to the library. */
  adding: ReactNode;
}

/** A library: its files, and who sees them. */
export function LibraryPage({ library, onPreview, onGone, state, adding }: LibraryPageProps) {
  const t = useT();
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const remove = useDeleteLibrary();
  const edits = library.role === "editor";
  return (
    <div className="library page-column">
      <div className="library__head">
        {library.description && <p>{library.description}</p>}
        <Marks library={library} />
        {edits && (
          <span className="library__actions">
            <Button icon="pencil" onClick={() => setEditing(true)}>
              {t("libraries.edit")}
            </Button>
            <Button icon="trash" onClick={() => setDeleting(true)}>
              {t("libraries.delete")}
            </Button>
          </span>
        )}
      </div>
      <section className="library__part" aria-label={t("files.title")}>
        <h2>{t("files.title")}</h2>
        {edits && adding}
        <LibraryFiles library={library} onPreview={onPreview} state={state} />
      </section>
      <section className="library__part" aria-label={t("libraries.people")}>
        <h2>{t("libraries.people")}</h2>
        <Members library={library} onLeft={onGone} />
      </section>
      {editing && <LibraryForm library={library} onClose={() => setEditing(false)} />}
      {deleting && (
        <ConfirmDialog
          title={t("app.deleteTitle", { name: library.name })}
          text={t("libraries.deleteExplain")}
          work={remove}
          onConfirm={() => remove.mutate(library.id, { onSuccess: onGone })}
          onClose={() => setDeleting(false)}
        />
      )}
    </div>
  );
}

type LibraryFilesProps = Pick<LibraryPageProps, "library" | "onPreview" | "state">;

function LibraryFiles({ library, onPreview, state }: LibraryFilesProps) {
  const t = useT();
  const formats = useFormats();
  const { data: files = [], error, isSuccess } = useQuery(libraryFilesQuery(library.id));
  const { mutate: takeOut } = useTakeOut(library.id);
  if (error) return <ErrorNotice error={error} />;
  if (isSuccess && files.length === 0) return <p className="field__hint">{t("libraries.empty")}</p>;
  return (
    <ul className="file-list" aria-label={t("libraries.files", { name: library.name })}>
      {files.map((file) => (
        <li key={file.id} className="file-row" data-status={file.status}>
          <Icon name={file.status === "failed" ? "warn" : "file"} size={20} />
          <span className="file-row__main">
            <button type="button" className="attachment__name" onClick={() => onPreview(file)}>
              {file.name}
            </button>
            <small className="library__owner">{file.owner}</small>
            {state(file)}
          </span>
          <span className="file-row__size">{formats.bytes(file.size)}</span>
          <time className="file-row__date" dateTime={file.created_at}>
            {formats.date(file.created_at)}
          </time>
          {library.role === "editor" ? (
            <IconButton icon="close" label={t("libraries.takeOut", { name: file.name })} onClick={() => takeOut(file.id)} />
          ) : (
            <span />
          )}
        </li>
      ))}
    </ul>
  );
}
