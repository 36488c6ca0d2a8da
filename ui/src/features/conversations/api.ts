import { at } from "@/shared/root";
import { infiniteQueryOptions, keepPreviousData, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, send, take } from "@/shared/api/client";
import { untilTitled } from "@/shared/api/conversation";
import { readError } from "@/shared/api/errors";
import { keys } from "@/shared/api/keys";
import type { Imported } from "@/shared/api/types";

const PAGE = 100;

/**
 * The conversations of one project, or those of none for null, newest first; where there is a `q`, those of all that
 * match it in their title or a message.
 */
export const conversationsQuery = (q: string, archived: boolean, projectId: string | null = null) =>
  infiniteQueryOptions({
    queryKey: keys.conversationList(q, archived, projectId),
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/conversations", {
          params: {
            query: {
              limit: PAGE,
              cursor: pageParam,
              q: q || undefined,
              include_archived: archived || undefined,
              project_id: projectId ?? undefined,
              outside_projects: q === "" && projectId === null ? true : undefined,
            },
          },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: ({ state }) => untilTitled(state.data?.pages[0]?.items[0]),
    placeholderData: keepPreviousData,
  });

export function useDeleteConversation() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) => take(api.DELETE("/api/v1/conversations/{conversation_id}", { params: { path: { conversation_id: id } } })),
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: keys.conversationLists }),
        queries.invalidateQueries({ queryKey: keys.files }),
      ]),
  });
}

/** Take an exported conversation back. */
export function useImportConversation() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (file: File): Promise<Imported> => {
      const response = await send("/api/v1/conversations/import", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: await file.text(),
      });
      if (!response.ok) throw await readError(response);
      return (await response.json()) as Imported;
    },
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.conversationLists }),
  });
}

export const exportAddress = (id: string, format: "json" | "markdown"): string =>
  at(`/api/v1/conversations/${id}/export?format=${format}`);
