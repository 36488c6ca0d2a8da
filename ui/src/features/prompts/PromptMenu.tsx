import { useQuery } from "@tanstack/react-query";
import { useId, useImperativeHandle, useState, type KeyboardEvent, type Ref } from "react";
import type { SavedPrompt } from "@/shared/api/types";
import { useActiveLine } from "@/shared/hooks/useActiveLine";
import { useT } from "@/shared/i18n";
import { FormActions } from "@/shared/ui/FormActions";
import { TextArea } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";
import { promptsQuery } from "./api";
import { filledIn, variablesOf } from "./variables";
import "./prompts.css";

/** What the field above which the menu stands hands on to it; says whether the key was the menu's. */
export interface PromptMenuKeys {
  onKeyDown: (event: KeyboardEvent) => boolean;
}

interface PromptMenuProps {
  /** What stands in the message's field: the menu is there while it is a slash and letters of a prompt's name. */
  text: string;
  onText: (text: string) => void;
  keys: Ref<PromptMenuKeys>;
}

const SHOWN = 20;
const CALL = /^\/([^\n]{0,60})$/;

/** Saved prompts, called by a slash at the message's beginning. */
export function PromptMenu({ text, onText, keys }: PromptMenuProps) {
  const t = useT();
  const id = useId();
  const called = CALL.exec(text)?.[1];
  const { data: prompts = [], isSuccess } = useQuery({ ...promptsQuery, enabled: called !== undefined });
  const [closed, setClosed] = useState<string | null>(null);
  const [filling, setFilling] = useState<SavedPrompt | null>(null);
  const words = (called ?? "").trim().toLowerCase();
  const found = prompts.filter(({ title }) => title.toLowerCase().includes(words)).slice(0, SHOWN);
  const open = called !== undefined && closed !== text && isSuccess && (found.length > 0 || words === "");
  const { active, point, list, step } = useActiveLine<HTMLUListElement>(found.length);

  function choose(prompt: SavedPrompt | undefined) {
    if (!prompt) return;
    if (variablesOf(prompt.content).length > 0) setFilling(prompt);
    else onText(prompt.content);
  }

  useImperativeHandle(keys, () => ({
    onKeyDown: (event) => {
      if (!open) return false;
      if (event.key === "Escape") setClosed(text);
      else if ((event.key === "Enter" || event.key === "Tab") && found.length > 0) choose(found[active]);
      else if (!step(event)) return false;
      event.preventDefault();
      event.stopPropagation();
      return true;
    },
  }));

  return (
    <>
      {open && found.length === 0 && <p className="prompt-menu prompt-menu__none">{t("prompts.menuNone")}</p>}
      {open && found.length > 0 && (
        <ul className="prompt-menu" ref={list} role="listbox" aria-label={t("prompts.title")}>
          {found.map((prompt, index) => (
            // The field has the focus and hears the keys.
            // eslint-disable-next-line jsx-a11y/click-events-have-key-events
            <li
              key={prompt.id}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === active}
              className="prompt-menu__line"
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => choose(prompt)}
              onMouseMove={() => point(index)}
            >
              {prompt.title}
              <small>{prompt.content}</small>
            </li>
          ))}
        </ul>
      )}
      {filling && (
        <FillIn
          prompt={filling}
          onClose={() => setFilling(null)}
          onFilled={(filled) => {
            setFilling(null);
            onText(filled);
          }}
        />
      )}
    </>
  );
}

interface FillInProps {
  prompt: SavedPrompt;
  onClose: () => void;
  onFilled: (text: string) => void;
}

/** Ask for the values of a prompt's variables. */
function FillIn({ prompt, onClose, onFilled }: FillInProps) {
  const t = useT();
  const names = variablesOf(prompt.content);
  const [values, setValues] = useState<Record<string, string>>({});
  return (
    <Modal title={prompt.title} onClose={onClose}>
      <form
        className="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          onFilled(filledIn(prompt.content, values));
        }}
      >
        {names.map((name) => (
          <TextArea
            key={name}
            label={name}
            rows={1}
            required
            value={values[name] ?? ""}
            onChange={({ target }) => setValues((known) => ({ ...known, [name]: target.value }))}
          />
        ))}
        <FormActions onCancel={onClose} action={t("prompts.insert")} />
      </form>
    </Modal>
  );
}
