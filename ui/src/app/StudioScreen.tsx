import { useNavigate, useParams } from "@tanstack/react-router";
import { StudioPage } from "@/features/studio/StudioPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

export function StudioScreen() {
  const t = useT();
  const navigate = useNavigate();
  const { id } = useParams({ strict: false });
  return (
    <>
      <PageHead title={t("studio.title")} />
      <StudioPage
        conversationId={id ?? null}
        onChoose={(chosen) => void navigate({ to: "/studio/{-$id}", params: { id: chosen } })}
      />
    </>
  );
}
