import { useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import type { Place } from "@/features/citations/place";
import { FilesPage } from "@/features/files/FilesPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

const DocumentPanel = lazy(async () => ({ default: (await import("@/features/citations/DocumentPanel")).DocumentPanel }));

/** The library of files; beside it the one that is being looked at. */
export function FilesScreen() {
  const t = useT();
  const navigate = useNavigate();
  const [place, setPlace] = useState<Place | null>(null);
  return (
    <div className="conversation-screen">
      <div className="conversation-screen__main">
        <PageHead title={t("files.title")} />
        <FilesPage
          onPreview={({ id, name }) =>
            setPlace({ fileId: id, fileName: name, page: null, start: 0, end: 0, snippet: "" })
          }
          onOpenConversation={(id) => void navigate({ to: "/c/$id", params: { id } })}
        />
      </div>
      <Suspense>{place && <DocumentPanel place={place} onClose={() => setPlace(null)} />}</Suspense>
    </div>
  );
}
