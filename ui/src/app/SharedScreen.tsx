import { Link, useParams } from "@tanstack/react-router";
import { SharedPage } from "@/features/sharing/SharedPage";
import { useT } from "@/shared/i18n";

/** A conversation that somebody shares. */
export function SharedScreen() {
  const t = useT();
  const { token = "" } = useParams({ strict: false });
  return (
    <SharedPage
      token={token}
      entry={
        <Link className="button button--primary" to="/sign-in" search={{ to: `/shared/${token}` }}>
          {t("auth.signIn")}
        </Link>
      }
    />
  );
}
