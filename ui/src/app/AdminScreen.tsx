import { AdminPage } from "@/features/admin/AdminPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

export function AdminScreen() {
  const t = useT();
  return (
    <>
      <PageHead title={t("admin.title")} />
      <AdminPage />
    </>
  );
}
