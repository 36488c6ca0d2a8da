import { useCallback, useEffect, useRef, useState } from "react";
import { send } from "@/shared/api/client";
import { useT } from "@/shared/i18n";
import { useToast } from "@/shared/ui/Toasts";
import { useDeleteConversation } from "./api";

/**
 * Delete with a way back: the conversation leaves the list at once, and the server when the offer to undo has passed,
 * or when the page is left.
 */
export function useDeleteLater(): { hidden: ReadonlySet<string>; deleteLater: (id: string) => void } {
  const t = useT();
  const toast = useToast();
  const { mutate } = useDeleteConversation();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const waiting = useRef(new Set<string>());

  const show = useCallback((id: string) => {
    waiting.current.delete(id);
    setHidden((ids) => new Set([...ids].filter((other) => other !== id)));
  }, []);

  const deleteLater = useCallback(
    (id: string) => {
      waiting.current.add(id);
      setHidden((ids) => new Set([...ids, id]));
      toast({
        text: t("conversations.deleted"),
        action: { label: t("app.undo"), run: () => show(id) },
        onExpire: () => {
          waiting.current.delete(id);
          mutate(id, { onError: () => show(id) });
        },
      });
    },
    [mutate, show, t, toast],
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

  return { hidden, deleteLater };
}
