import type { QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useErrorText } from "@/shared/ui/ErrorNotice";
import { useToast } from "@/shared/ui/Toasts";

/** Tells of what was done and failed, where the thing itself has no place to say so (`meta.toast`). */
export function FailureToasts({ queries }: { queries: QueryClient }) {
  const toast = useToast();
  const say = useErrorText();
  useEffect(() => {
    return queries.getMutationCache().subscribe((event) => {
      if (event.type !== "updated" || event.action.type !== "error" || !event.mutation.meta?.["toast"]) return;
      toast({ text: say(event.action.error) });
    });
  }, [queries, say, toast]);
  return null;
}
