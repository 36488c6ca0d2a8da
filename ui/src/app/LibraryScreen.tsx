import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { Suspense, useEffect, useState } from "react";
import { beginningOf, type Place } from "@/features/citations/place";
import { AddFiles } from "@/features/files/AddFiles";
import { FileState } from "@/features/files/Attachments";
import { libraryFilesQuery, libraryQuery, useAddFiles } from "@/features/libraries/api";
import { LibraryPage } from "@/features/libraries/LibraryPage";
import { lazyPart } from "@/shared/ui/lazyPart";
import { ApiError } from "@/shared/api/errors";
import { useT } from "@/shared/i18n";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { NotFoundPage } from "./fallbacks";
import { PageHead } from "./PageHead";

const DocumentPanel = lazyPart(async () => ({ default: (await import("@/features/citations/DocumentPanel")).DocumentPanel }));

/** A shared library; beside it the file that is being looked at. */
export function LibraryScreen() {
  const t = useT();
  const navigate = useNavigate();
  const { id = "" } = useParams({ strict: false });
  const { data: library, error } = useQuery(libraryQuery(id));
  const { data: files = [] } = useQuery(libraryFilesQuery(id));
  const { mutate: add } = useAddFiles(id);
  const [place, setPlace] = useState<Place | null>(null);
  useEffect(() => {
    if (library) document.title = `${library.name} · ${t("app.name")}`;
  }, [library, t]);
  if (error instanceof ApiError && error.status === 404) return <NotFoundPage />;
  if (error) return <ErrorNotice error={error} />;
  if (!library) return null;
  return (
    <div className="conversation-screen">
      <div className="conversation-screen__main">
        <PageHead title={library.name} />
        <LibraryPage
          library={library}
          onPreview={(file) => setPlace(beginningOf(file))}
          onGone={() => void navigate({ to: "/libraries" })}
          state={(file) => <FileState file={file} />}
          adding={<AddFiles libraryId={id} there={files.map((file) => file.id)} onAdd={add} />}
        />
      </div>
      <Suspense>{place && <DocumentPanel place={place} onClose={() => setPlace(null)} />}</Suspense>
    </div>
  );
}
