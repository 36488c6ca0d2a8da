import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { SavedPrompt, SavedPromptPatch } from "@/shared/api/types";

const PAGE = 200;

/** One's own prompts and those that others share. */
export const promptsQuery = queryOptions({
  queryKey: keys.prompts,
  queryFn: ({ signal }): Promise<SavedPrompt[]> =>
    allPages((cursor) => take(api.GET("/api/v1/prompts", { params: { query: { limit: PAGE, cursor } }, signal }))),
});

/** Change a prompt, or save a new one where no id is given. */
export function useSavePrompt() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: SavedPromptPatch & { id?: string }): Promise<SavedPrompt> =>
      id
        ? take(api.PATCH("/api/v1/prompts/{prompt_id}", { params: { path: { prompt_id: id } }, body }))
        : take(api.POST("/api/v1/prompts", { body: { ...body, title: body.title ?? "", content: body.content ?? "" } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.prompts }),
  });
}

export function useDeletePrompt() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/v1/prompts/{prompt_id}", { params: { path: { prompt_id: id } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.prompts }),
  });
}
