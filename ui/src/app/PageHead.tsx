import type { ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { useShell } from "./shellContext";

/** The line above a page: its title, and on small screens the way to the menu. */
export function PageHead({ title, children }: { title: string; children?: ReactNode }) {
  const t = useT();
  const { openMenu } = useShell();
  return (
    <header className="page-head">
      <IconButton className="page-head__menu" icon="menu" label={t("app.openMenu")} onClick={openMenu} />
      <h1 className="page-head__title">{title}</h1>
      {children}
    </header>
  );
}
