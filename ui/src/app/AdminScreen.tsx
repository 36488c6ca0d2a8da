import { Link } from "@tanstack/react-router";
import { AdminPage } from "@/features/admin/AdminPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

export function AdminScreen() {
  const t = useT();
  return (
    <>
      <PageHead title={t("admin.title")} />
      <AdminPage
        secondFactor={
          <Link className="button button--primary" to="/account">
            {t("nav.account")}
          </Link>
        }
      />
    </>
  );
}
