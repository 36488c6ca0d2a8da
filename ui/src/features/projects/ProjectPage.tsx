import { useState, type ReactNode } from "react";
import type { Project } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button, Field, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useDeleteProject, useSaveProject } from "./api";
import "./projects.css";

interface ProjectPageProps {
  project: Project;
  onNewChat: () => void;
  onGone: () => void;
  /** The project's conversations. */
  chats: ReactNode;
  /** Draws the choice of files. */
  files: (chosen: string[], onChoose: (fileIds: string[]) => void) => ReactNode;
  libraries: (chosen: string[], onChoose: (libraryIds: string[]) => void) => ReactNode;
}

/** A project: its conversations, the instructions that all of them follow, the files that all of them search. */
export function ProjectPage({ project, onNewChat, onGone, chats, files, libraries }: ProjectPageProps) {
  const t = useT();
  const [deleting, setDeleting] = useState(false);
  const save = useSaveProject();
  return (
    <div className="project page-column">
      <div className="project__actions">
        <Button kind="primary" icon="plus" onClick={onNewChat}>
          {t("projects.newChat")}
        </Button>
        <Button icon="trash" onClick={() => setDeleting(true)}>
          {t("projects.delete")}
        </Button>
      </div>
      <section className="project__part" aria-label={t("conversations.title")}>
        <h2>{t("conversations.title")}</h2>
        {chats}
      </section>
      <section className="project__part" aria-label={t("projects.about")}>
        <h2>{t("projects.about")}</h2>
        <About key={project.id} project={project} />
      </section>
      <section className="project__part" aria-label={t("projects.files")}>
        <h2>{t("projects.files")}</h2>
        <p className="field__hint">{t("projects.filesHint")}</p>
        {save.error && <ErrorNotice error={save.error} />}
        {files(project.file_ids, (file_ids) => save.mutate({ id: project.id, file_ids }))}
        {libraries(project.library_ids, (library_ids) => save.mutate({ id: project.id, library_ids }))}
      </section>
      {deleting && <DeleteProject project={project} onClose={() => setDeleting(false)} onGone={onGone} />}
    </div>
  );
}

function About({ project }: { project: Project }) {
  const t = useT();
  const save = useSaveProject();
  const [name, setName] = useState(project.name);
  const [instructions, setInstructions] = useState(project.instructions ?? "");
  const same = name === project.name && instructions === (project.instructions ?? "");
  return (
    <form
      className="dialog-form"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate({ id: project.id, name, instructions: instructions || null });
      }}
    >
      {save.error && <ErrorNotice error={save.error} />}
      <Field label={t("projects.name")} maxLength={100} required value={name} onChange={({ target }) => setName(target.value)} />
      <TextArea
        label={t("projects.instructions")}
        hint={t("projects.instructionsHint")}
        rows={5}
        maxLength={8000}
        value={instructions}
        onChange={({ target }) => setInstructions(target.value)}
      />
      <div className="dialog__actions">
        <Button kind="primary" type="submit" disabled={save.isPending || same || name.trim() === ""}>
          {t("app.save")}
        </Button>
      </div>
    </form>
  );
}

function DeleteProject({ project, onClose, onGone }: { project: Project; onClose: () => void; onGone: () => void }) {
  const t = useT();
  const remove = useDeleteProject();
  return (
    <ConfirmDialog
      title={t("app.deleteTitle", { name: project.name })}
      text={t("projects.deleteExplain")}
      work={remove}
      onConfirm={() => remove.mutate(project.id, { onSuccess: onGone })}
      onClose={onClose}
    />
  );
}
