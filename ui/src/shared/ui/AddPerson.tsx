import { useState } from "react";
import { useT } from "@/shared/i18n";
import { Button, Field } from "./controls";
import "./members.css";

interface AddPersonProps {
  /** Adds somebody by their exact name or address; `onAdded` empties the field. */
  onAdd: (name: string, onAdded: () => void) => void;
}

/** A form that adds a person. */
export function AddPerson({ onAdd }: AddPersonProps) {
  const t = useT();
  const [name, setName] = useState("");
  return (
    <form
      className="member-form"
      onSubmit={(event) => {
        event.preventDefault();
        onAdd(name.trim(), () => setName(""));
      }}
    >
      <Field
        label={t("libraries.addPerson")}
        hint={t("libraries.addPersonHint")}
        value={name}
        autoCapitalize="none"
        spellCheck={false}
        onChange={({ target }) => setName(target.value)}
      />
      <Button type="submit" icon="plus" disabled={name.trim() === ""}>
        {t("libraries.add")}
      </Button>
    </form>
  );
}
