import { GroupsPage } from "@/features/groups/GroupsPage";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

/** Groups of people. */
export function GroupsScreen() {
  const t = useT();
  return (
    <>
      <PageHead title={t("groups.title")} />
      <GroupsPage />
    </>
  );
}
