import type { User } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Modal } from "@/shared/ui/Modal";
import { NewPasswordForm } from "@/shared/ui/NewPasswordForm";
import { usePatchUser } from "./api";

export function PasswordDialog({ user, onClose }: { user: User; onClose: () => void }) {
  const t = useT();
  const patch = usePatchUser();
  return (
    <Modal title={t("admin.resetFor", { name: user.username })} onClose={onClose}>
      <NewPasswordForm
        error={patch.error}
        pending={patch.isPending}
        onSave={(password) => patch.mutate({ id: user.id, password }, { onSuccess: onClose })}
        onCancel={onClose}
      />
    </Modal>
  );
}
