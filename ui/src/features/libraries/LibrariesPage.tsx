import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Library } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { librariesQuery } from "./api";
import { LibraryForm } from "./LibraryForm";
import "./libraries.css";

/** The shared libraries that one sees, and the way to make one. */
export function LibrariesPage({ onOpen }: { onOpen: (id: string) => void }) {
  const t = useT();
  const { data: libraries = [], error, isSuccess } = useQuery(librariesQuery);
  const [making, setMaking] = useState(false);
  return (
    <div className="page-column">
      <div className="library__bar">
        <p>{t("libraries.explain")}</p>
        <Button kind="primary" icon="plus" onClick={() => setMaking(true)}>
          {t("libraries.new")}
        </Button>
      </div>
      {error && <ErrorNotice error={error} />}
      {isSuccess && libraries.length === 0 && <p>{t("libraries.none")}</p>}
      <ul className="cards" aria-label={t("libraries.title")}>
        {libraries.map((library) => (
          <li key={library.id}>
            <Card library={library} onOpen={() => onOpen(library.id)} />
          </li>
        ))}
      </ul>
      {making && <LibraryForm library={null} onClose={() => setMaking(false)} onSaved={({ id }) => onOpen(id)} />}
    </div>
  );
}

function Card({ library, onOpen }: { library: Library; onOpen: () => void }) {
  const t = useT();
  return (
    <article className="card library-card">
      <h2 className="card__name">
        <button type="button" className="attachment__name" onClick={onOpen}>
          {library.name}
        </button>
      </h2>
      {library.description && <p className="card__text">{library.description}</p>}
      <p className="card__foot">
        <span>
          {t("files.count", { count: library.files })} · {t("libraries.members", { count: library.members })}
        </span>
        <Marks library={library} />
      </p>
    </article>
  );
}

/** What one may do in a library, and whether every chat of one's own searches it. */
export function Marks({ library }: { library: Library }) {
  const t = useT();
  return (
    <span className="library-marks">
      <span className="badge">{t(`libraries.role.${library.role}`)}</span>
      {library.is_default && <span className="badge badge--marker">{t("libraries.default")}</span>}
    </span>
  );
}
