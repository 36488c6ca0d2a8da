import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useT } from "@/shared/i18n";
import { FormActions } from "@/shared/ui/FormActions";
import { Field, IconButton } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Icon } from "@/shared/ui/Icon";
import { Modal } from "@/shared/ui/Modal";
import { projectsQuery, useSaveProject } from "./api";
import "./projects.css";

interface ProjectListProps {
  currentId: string | null;
  onOpen: (id: string) => void;
}

/** The projects, at the side of every page. */
export function ProjectList({ currentId, onOpen }: ProjectListProps) {
  const t = useT();
  const { data: projects = [] } = useQuery(projectsQuery);
  const [creating, setCreating] = useState(false);
  return (
    <section className="projects" aria-label={t("projects.title")}>
      <div className="projects__head">
        {t("projects.title")}
        <IconButton small icon="plus" label={t("projects.new")} onClick={() => setCreating(true)} />
      </div>
      {projects.length > 0 && (
        <ul className="projects__list">
          {[...projects]
            .sort((a, b) => a.name.localeCompare(b.name))
            .map(({ id, name }) => (
              <li key={id}>
                <button
                  type="button"
                  className="projects__item"
                  aria-current={id === currentId ? "page" : undefined}
                  onClick={() => onOpen(id)}
                >
                  <Icon name="project" size={16} />
                  <span>{name}</span>
                </button>
              </li>
            ))}
        </ul>
      )}
      {creating && <NewProject onClose={() => setCreating(false)} onCreated={onOpen} />}
    </section>
  );
}

function NewProject({ onClose, onCreated }: { onClose: () => void; onCreated: (id: string) => void }) {
  const t = useT();
  const save = useSaveProject();
  const [name, setName] = useState("");
  return (
    <Modal title={t("projects.new")} text={t("projects.explain")} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate(
            { name },
            {
              onSuccess: ({ id }) => {
                onClose();
                onCreated(id);
              },
            },
          );
        }}
      >
        {save.error && <ErrorNotice error={save.error} />}
        <Field label={t("projects.name")} maxLength={100} required value={name} onChange={({ target }) => setName(target.value)} />
        <FormActions onCancel={onClose} action={t("projects.create")} disabled={save.isPending || name.trim() === ""} />
      </form>
    </Modal>
  );
}
