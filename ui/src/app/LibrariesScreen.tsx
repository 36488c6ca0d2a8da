import { useNavigate } from "@tanstack/react-router";
import { LibrariesPage } from "@/features/libraries/LibrariesPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

/** The shared libraries that one sees. */
export function LibrariesScreen() {
  const t = useT();
  const navigate = useNavigate();
  return (
    <>
      <PageHead title={t("libraries.title")} />
      <LibrariesPage onOpen={(id) => void navigate({ to: "/libraries/$id", params: { id } })} />
    </>
  );
}
