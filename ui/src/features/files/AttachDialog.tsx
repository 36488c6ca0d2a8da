import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { useCreateConversation } from "@/shared/api/conversation";
import type { StoredFile } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { useAttachFile } from "./api";

const SHOWN = 20;

const recentQuery = {
  queryKey: ["conversations", "list", "recent"],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    take(api.GET("/api/v1/conversations", { params: { query: { limit: SHOWN } }, signal })),
};

interface AttachDialogProps {
  file: StoredFile;
  onClose: () => void;
  onOpenConversation: (id: string) => void;
}

/** Choose the conversation that a file is to be used in. */
export function AttachDialog({ file, onClose, onOpenConversation }: AttachDialogProps) {
  const t = useT();
  const { data } = useQuery(recentQuery);
  const attach = useAttachFile();
  const create = useCreateConversation();
  const attachTo = (conversationId: string) =>
    attach.mutate({ id: file.id, conversationId }, { onSuccess: () => onOpenConversation(conversationId) });
  const error = attach.error ?? create.error;
  return (
    <Modal title={t("files.attachTo", { name: file.name })} onClose={onClose}>
      {error && <ErrorNotice error={error} />}
      <ul className="attach-list">
        <li>
          <Button kind="primary" icon="plus" onClick={() => create.mutate({}, { onSuccess: ({ id }) => attachTo(id) })}>
            {t("conversations.new")}
          </Button>
        </li>
        {data?.items.map(({ id, title }) => (
          <li key={id}>
            <Button disabled={attach.isPending} onClick={() => attachTo(id)}>
              {title || t("conversations.untitled")}
            </Button>
          </li>
        ))}
      </ul>
    </Modal>
  );
}
