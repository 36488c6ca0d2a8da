import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { AnyLibrary } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { allLibrariesQuery, useTakeOver } from "./api";

/** All libraries, so that one whose editors have left can be taken over; what is in them is for their members. */
export function AllLibraries() {
  const t = useT();
  const { data, error } = useQuery(allLibrariesQuery);
  const takeOver = useTakeOver();
  const [wanted, setWanted] = useState<AnyLibrary | null>(null);
  const items = data?.items ?? [];
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {data && items.length === 0 && <p>{t("libraries.nobodyHasOne")}</p>}
      <ul className="users" aria-label={t("libraries.all")}>
        {items.map((library) => (
          <li key={library.id} className="user">
            <span className="user__name">
              <strong>{library.name}</strong>
              <small>
                {t("files.count", { count: library.files })} · {t("libraries.members", { count: library.members })}
              </small>
            </span>
            {library.role === "editor" ? (
              <span className="badge">{t("libraries.role.editor")}</span>
            ) : (
              <Button onClick={() => setWanted(library)}>{t("libraries.takeOver")}</Button>
            )}
          </li>
        ))}
      </ul>
      {wanted && (
        <ConfirmDialog
          title={t("libraries.takeOverTitle", { name: wanted.name })}
          text={t("libraries.takeOverExplain")}
          action={t("libraries.takeOver")}
          work={takeOver}
          onConfirm={() => takeOver.mutate(wanted.id, { onSuccess: () => setWanted(null) })}
          onClose={() => setWanted(null)}
        />
      )}
    </>
  );
}
