import { Link, type ErrorComponentProps } from "@tanstack/react-router";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";

export function NotFoundPage() {
  const t = useT();
  return (
    <main className="page-message">
      <h1>{t("app.notFound")}</h1>
      <Link className="button" to="/">
        {t("app.toStart")}
      </Link>
    </main>
  );
}

export function ErrorPage({ error }: ErrorComponentProps) {
  const t = useT();
  return (
    <main className="page-message">
      <h1>{t("app.failed")}</h1>
      <ErrorNotice error={error} />
      <Button kind="primary" onClick={() => location.reload()}>
        {t("app.reload")}
      </Button>
    </main>
  );
}
