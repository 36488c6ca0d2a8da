import { useNavigate } from "@tanstack/react-router";
import { AccountPage } from "@/features/account/AccountPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

export function AccountScreen() {
  const t = useT();
  const navigate = useNavigate();
  return (
    <>
      <PageHead title={t("account.title")} />
      <AccountPage onLeft={() => void navigate({ to: "/sign-in" })} />
    </>
  );
}
