import { useCallback, useEffect, useRef, useState } from "react";
import { send } from "@/shared/api/client";
import { beforeSignOut } from "@/shared/api/person";
import { useT } from "@/shared/i18n";
import { useToast } from "@/shared/ui/Toasts";
import { useDeleteConversation } from "./api";

/**
 * Delete with a way back: the conversation leaves the list at once, and the server when the offer to undo has passed,
 * or when the page is left or its session ended.
 */
export function useDeleteLater(): { hidden: ReadonlySet<string>; deleteLater: (id: string) => void } {
  const t = useT();
  const toast = useToast();
  const { mutateAsync } = useDeleteConversation();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const waiting = useRef(new Set<string>());

  const show = useCallback((id: string) => {
    waiting.current.delete(id);
    setHidden((ids) => new Set([...ids].filter((other) => other !== id)));
  }, []);

  const remove = useCallback(
    async (id: string) => {
      if (!waiting.current.delete(id)) return;
      // The mutation itself tells of a failure.
      await mutateAsync(id).catch(() => show(id));
    },
    [mutateAsync, show],
  );

  const deleteLater = useCallback(
    (id: string) => {
      waiting.current.add(id);
      setHidden((ids) => new Set([...ids, id]));
      toast({
        text: t("conversations.deleted"),
        action: { label: t("app.undo"), run: () => show(id) },
        onExpire: () => void remove(id),
      });
    },
    [remove, show, t, toast],
  );

  useEffect(() => {
    const pending = waiting.current;
    const flush = () => {
      for (const id of pending) void send(`/api/v1/conversations/${id}`, { method: "DELETE", keepalive: true });
      pending.clear();
    };
    addEventListener("pagehide", flush);
    return () => removeEventListener("pagehide", flush);
  }, []);

  useEffect(() => {
    return beforeSignOut(() => Promise.all([...waiting.current].map(remove)));
  }, [remove]);

  return { hidden, deleteLater };
}
