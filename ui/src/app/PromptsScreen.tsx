import { PromptsPage } from "@/features/prompts/PromptsPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

/** Saved prompts: one's own and shared ones. */
export function PromptsScreen() {
  const t = useT();
  return (
    <>
      <PageHead title={t("prompts.title")} />
      <PromptsPage />
    </>
  );
}
