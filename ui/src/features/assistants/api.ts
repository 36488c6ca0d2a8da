import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { Assistant, AssistantPatch } from "@/shared/api/types";

const PAGE = 200;

/** One's own assistants and those that others share. */
export const assistantsQuery = queryOptions({
  queryKey: keys.assistants,
  queryFn: ({ signal }): Promise<Assistant[]> =>
    allPages((cursor) => take(api.GET("/api/v1/assistants", { params: { query: { limit: PAGE, cursor } }, signal }))),
});

/** Change an assistant, or save a new one where no id is given. */
export function useSaveAssistant() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: AssistantPatch & { id?: string }): Promise<Assistant> =>
      id
        ? take(api.PATCH("/api/v1/assistants/{assistant_id}", { params: { path: { assistant_id: id } }, body }))
        : take(api.POST("/api/v1/assistants", { body: { ...body, name: body.name ?? "" } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.assistants }),
  });
}

export function useDeleteAssistant() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/assistants/{assistant_id}", { params: { path: { assistant_id: id } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.assistants }),
  });
}
