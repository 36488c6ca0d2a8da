import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import type { SavedPrompt } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { SavedPage, SharedBadge } from "@/shared/saved/SavedPage";
import { FormActions } from "@/shared/ui/FormActions";
import { Field, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { promptsQuery, useDeletePrompt, useSavePrompt } from "./api";
import "./prompts.css";

/** One's own prompts and those that others share. */
export function PromptsPage() {
  const t = useT();
  return (
    <SavedPage
      query={useQuery(promptsQuery)}
      texts={{ title: t("prompts.title"), explain: t("prompts.explain"), make: t("prompts.new"), none: t("prompts.none") }}
      nameOf={({ title }) => title}
      card={(prompt, menu) => <PromptCard prompt={prompt} menu={menu} />}
      form={(prompt, onClose) => <PromptForm prompt={prompt} onClose={onClose} />}
      remove={useDeletePrompt()}
    />
  );
}

function PromptCard({ prompt, menu }: { prompt: SavedPrompt; menu: ReactNode }) {
  return (
    <article className="prompt-card">
      <div className="prompt-card__head">
        <h3>{prompt.title}</h3>
        {menu}
      </div>
      <p>{prompt.content}</p>
      <div>
        <SharedBadge item={prompt} />
      </div>
    </article>
  );
}

function PromptForm({ prompt, onClose }: { prompt: SavedPrompt | null; onClose: () => void }) {
  const t = useT();
  const save = useSavePrompt();
  const [title, setTitle] = useState(prompt?.title ?? "");
  const [content, setContent] = useState(prompt?.content ?? "");
  const [shared, setShared] = useState(prompt?.shared ?? false);
  return (
    <Modal title={t(prompt ? "prompts.edit" : "prompts.new")} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate({ ...(prompt ? { id: prompt.id } : {}), title, content, shared }, { onSuccess: onClose });
        }}
      >
        {save.error && <ErrorNotice error={save.error} />}
        <Field label={t("prompts.name")} maxLength={100} required value={title} onChange={({ target }) => setTitle(target.value)} />
        <TextArea
          label={t("prompts.content")}
          hint={t("prompts.contentHint", { example: "{{topic}}" })}
          rows={8}
          maxLength={20_000}
          required
          value={content}
          onChange={({ target }) => setContent(target.value)}
        />
        <label className="check">
          <input type="checkbox" checked={shared} onChange={({ target }) => setShared(target.checked)} />
          {t("saved.share")}
        </label>
        <FormActions onCancel={onClose} disabled={save.isPending || !title.trim() || !content.trim()} />
      </form>
    </Modal>
  );
}
