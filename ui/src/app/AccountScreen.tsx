import { useSearch } from "@tanstack/react-router";
import { AccountPage } from "@/features/account/AccountPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

export function AccountScreen() {
  const t = useT();
  const { problem } = useSearch({ from: "/shell/account" });
  return (
    <>
      <PageHead title={t("account.title")} />
      <AccountPage problem={problem} />
    </>
  );
}
