import { useState, type ReactNode } from "react";
import type { Assistant, AssistantPatch, ModelSource } from "@/shared/api/types";
import { sourceOf } from "@/shared/api/sources";
import { useT } from "@/shared/i18n";
import { FormActions } from "@/shared/ui/FormActions";
import { Button, Field, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { useFilePicker } from "@/shared/ui/useFilePicker";
import { useSaveAssistant } from "./api";
import { AssistantPicture } from "./AssistantPicture";
import { smallPicture } from "./picture";

interface Model {
  source: ModelSource | null;
  name: string | null;
}

/** What other features draw in the form. */
export interface FormParts {
  model: (chosen: Model, onChoose: (model: Model) => void) => ReactNode;
  tools: (chosen: string[] | null, onChoose: (names: string[]) => void, model: Model) => ReactNode;
  files: (chosen: string[], onChoose: (fileIds: string[]) => void) => ReactNode;
  libraries: (chosen: string[], onChoose: (libraryIds: string[]) => void) => ReactNode;
}

interface AssistantFormProps extends FormParts {
  /** The one that is changed, null for a new one. */
  assistant: Assistant | null;
  onClose: () => void;
}

interface Values {
  name: string;
  description: string;
  picture: string | null;
  prompt: string;
  model: Model;
  tools: string[] | null;
  fileIds: string[];
  libraryIds: string[];
  shared: boolean;
}

const EMPTY: Values = {
  name: "",
  description: "",
  picture: null,
  prompt: "",
  model: { source: null, name: null },
  tools: null,
  fileIds: [],
  libraryIds: [],
  shared: false,
};

function valuesOf(assistant: Assistant | null): Values {
  if (!assistant) return EMPTY;
  return {
    ...assistant,
    description: assistant.description ?? "",
    prompt: assistant.system_prompt ?? "",
    model: { source: sourceOf(assistant.model_source), name: assistant.model_name },
    fileIds: assistant.file_ids,
    libraryIds: assistant.library_ids,
  };
}

const patchOf = ({ name, description, picture, prompt, model, tools, fileIds, libraryIds, shared }: Values): AssistantPatch => ({
  name,
  description: description || null,
  picture,
  system_prompt: prompt || null,
  model_source: model.source,
  model_name: model.name,
  tools,
  file_ids: fileIds,
  library_ids: libraryIds,
  shared,
});

/** Make an assistant, or change one. */
export function AssistantForm({ assistant, onClose, model, tools, files, libraries }: AssistantFormProps) {
  const t = useT();
  const save = useSaveAssistant();
  const [first] = useState(() => valuesOf(assistant));
  const [values, setValues] = useState(first);
  const set = (part: Partial<Values>) => setValues((known) => ({ ...known, ...part }));
  const { name, description, picture, prompt, fileIds, libraryIds, shared } = values;
  const submit = () =>
    save.mutate({ ...(assistant ? { id: assistant.id } : {}), ...patchOf(values) }, { onSuccess: onClose });

  return (
    // A model and a picture are chosen without a field of the form.
    <Modal keeps={values !== first} title={t(assistant ? "assistants.edit" : "assistants.new")} wide onClose={onClose}>
      <form
        className="assistant-form"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        {save.error && <ErrorNotice error={save.error} />}
        <PictureField name={name} picture={picture} onPicture={(chosen) => set({ picture: chosen })} />
        <Field
          label={t("assistants.name")}
          maxLength={100}
          required
          value={name}
          onChange={({ target }) => set({ name: target.value })}
        />
        <Field
          label={t("assistants.description")}
          maxLength={400}
          value={description}
          onChange={({ target }) => set({ description: target.value })}
        />
        <TextArea
          label={t("chat.systemPrompt")}
          hint={t("assistants.promptHint")}
          rows={6}
          maxLength={20_000}
          value={prompt}
          onChange={({ target }) => set({ prompt: target.value })}
        />
        <div className="assistant-form__row">
          {model(values.model, (chosen) => set({ model: chosen }))}
          {tools(values.tools, (names) => set({ tools: names }), values.model)}
        </div>
        <fieldset className="choices choices--list">
          <legend>{t("assistants.files")}</legend>
          {files(fileIds, (ids) => set({ fileIds: ids }))}
        </fieldset>
        {libraries(libraryIds, (ids) => set({ libraryIds: ids }))}
        <label className="check">
          <input type="checkbox" checked={shared} onChange={({ target }) => set({ shared: target.checked })} />
          <span>
            {t("saved.share")}
            {shared && fileIds.length + libraryIds.length > 0 && <small className="field__hint"> {t("assistants.filesStay")}</small>}
          </span>
        </label>
        <FormActions onCancel={onClose} disabled={save.isPending || name.trim() === ""} />
      </form>
    </Modal>
  );
}

interface PictureFieldProps {
  name: string;
  picture: string | null;
  onPicture: (picture: string | null) => void;
}

function PictureField({ name, picture, onPicture }: PictureFieldProps) {
  const t = useT();
  const [failed, setFailed] = useState(false);
  function take(file: File) {
    smallPicture(file).then(
      (small) => {
        setFailed(false);
        onPicture(small);
      },
      () => setFailed(true),
    );
  }
  const { pick, field } = useFilePicker(
    ([file]) => {
      if (file) take(file);
    },
    "image/*",
    false,
  );
  return (
    <div className="assistant-form__picture">
      <AssistantPicture assistant={{ name: name || "?", picture }} />
      <Button icon="image" onClick={pick}>
        {t("assistants.picture")}
      </Button>
      {picture && (
        <Button kind="quiet" onClick={() => onPicture(null)}>
          {t("app.remove")}
        </Button>
      )}
      {failed && (
        <span className="field__hint" role="alert">
          {t("assistants.pictureFailed")}
        </span>
      )}
      {field}
    </div>
  );
}
