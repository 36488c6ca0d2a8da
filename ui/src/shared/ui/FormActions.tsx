import { useT } from "@/shared/i18n";
import { Button } from "./controls";

interface FormActionsProps {
  onCancel: () => void;
  /** What the form does, where it does not save. */
  action?: string;
  kind?: "primary" | "danger";
  disabled?: boolean;
}

/** The two buttons that end a form in a dialog. */
export function FormActions({ onCancel, action, kind = "primary", disabled = false }: FormActionsProps) {
  const t = useT();
  return (
    <div className="dialog__actions">
      <Button onClick={onCancel}>{t("app.cancel")}</Button>
      <Button type="submit" kind={kind} disabled={disabled}>
        {action ?? t("app.save")}
      </Button>
    </div>
  );
}
