import { useQuery } from "@tanstack/react-query";
import { useT } from "@/shared/i18n";
import { librariesQuery } from "./api";
import "./libraries.css";

interface LibraryChoiceProps {
  chosen: string[];
  onChoose: (libraryIds: string[]) => void;
}

/** Choose among the shared libraries that one sees; nothing where there is none. */
export function LibraryChoice({ chosen, onChoose }: LibraryChoiceProps) {
  const t = useT();
  const { data: libraries = [] } = useQuery(librariesQuery);
  if (libraries.length === 0) return null;
  return (
    <fieldset className="scope-menu__choices">
      <legend>{t("libraries.title")}</legend>
      {libraries.map(({ id, name }) => (
        <label key={id} className="check">
          <input
            type="checkbox"
            checked={chosen.includes(id)}
            onChange={({ target }) => onChoose(target.checked ? [...chosen, id] : chosen.filter((other) => other !== id))}
          />
          <span className="file-chooser__name">{name}</span>
        </label>
      ))}
    </fieldset>
  );
}
