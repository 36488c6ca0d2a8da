import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Suspense, useEffect, useState } from "react";
import { beginningOf, type Place } from "@/features/citations/place";
import { filesQuery } from "@/features/files/api";
import { FilesPage } from "@/features/files/FilesPage";
import { lazyPart } from "@/shared/ui/lazyPart";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

const DocumentPanel = lazyPart(async () => ({ default: (await import("@/features/citations/DocumentPanel")).DocumentPanel }));

/** The library of files; beside it the one that is being looked at. */
export function FilesScreen() {
  const t = useT();
  const navigate = useNavigate();
  const [place, setPlace] = useState<Place | null>(null);
  const { open } = useSearch({ strict: false });
  const { data: files } = useQuery({ ...filesQuery(null), enabled: open !== undefined });
  const wanted = files?.find(({ id }) => id === open);
  useEffect(() => {
    if (wanted) setPlace(beginningOf(wanted));
  }, [wanted]);
  return (
    <div className="conversation-screen">
      <div className="conversation-screen__main">
        <PageHead title={t("files.title")} />
        <FilesPage
          onPreview={(file) => setPlace(beginningOf(file))}
          onOpenConversation={(id) => void navigate({ to: "/c/$id", params: { id } })}
        />
      </div>
      <Suspense>{place && <DocumentPanel place={place} onClose={() => setPlace(null)} />}</Suspense>
    </div>
  );
}
