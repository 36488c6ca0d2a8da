import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useT } from "@/shared/i18n";
import { Button, IconButton, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { memoriesQuery, profileQuery, useAddMemory, useForget, useSaveProfile, type Profile } from "./api";

/** What every answer respects: instructions, and what is remembered. */
export function Personal() {
  const { data: profile, error } = useQuery(profileQuery);
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {profile && <Instructions profile={profile} />}
      {profile && <Memory profile={profile} />}
    </>
  );
}

function Instructions({ profile }: { profile: Profile }) {
  const t = useT();
  const save = useSaveProfile();
  const [text, setText] = useState(profile.instructions ?? "");
  return (
    <form
      className="dialog-form"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate({ instructions: text.trim() || null });
      }}
    >
      {save.error && <ErrorNotice error={save.error} />}
      <TextArea
        label={t("personal.instructions")}
        hint={t("personal.instructionsHint")}
        rows={5}
        maxLength={4000}
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <div>
        <Button type="submit" disabled={save.isPending || text.trim() === (profile.instructions ?? "")}>
          {t("app.save")}
        </Button>
      </div>
    </form>
  );
}

function Memory({ profile }: { profile: Profile }) {
  const t = useT();
  const { data: memories = [], error } = useQuery(memoriesQuery);
  const save = useSaveProfile();
  const add = useAddMemory();
  const { mutate: forget } = useForget();
  const [text, setText] = useState("");
  return (
    <div className="dialog-form">
      {(error ?? add.error) && <ErrorNotice error={error ?? add.error} />}
      <label className="check">
        <input
          type="checkbox"
          checked={profile.use_memory}
          onChange={({ target }) => save.mutate({ use_memory: target.checked })}
        />
        <span>
          {t("personal.useMemory")}
          <small className="field__hint"> {t("personal.memoryHint")}</small>
        </span>
      </label>
      {memories.length > 0 && (
        <ul className="sessions" aria-label={t("personal.memory")}>
          {memories.map(({ id, text: known }) => (
            <li key={id} className="session">
              <span>{known}</span>
              <IconButton small icon="trash" label={t("personal.forget", { text: known })} onClick={() => forget(id)} />
            </li>
          ))}
        </ul>
      )}
      <form
        className="memory-form"
        onSubmit={(event) => {
          event.preventDefault();
          add.mutate(text.trim(), { onSuccess: () => setText("") });
        }}
      >
        <input
          className="input"
          aria-label={t("personal.remember")}
          placeholder={t("personal.remember")}
          maxLength={500}
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <Button type="submit" disabled={add.isPending || text.trim() === ""}>
          {t("personal.add")}
        </Button>
      </form>
      {memories.length > 1 && (
        <div>
          <Button icon="trash" onClick={() => forget(null)}>
            {t("personal.forgetAll")}
          </Button>
        </div>
      )}
    </div>
  );
}
