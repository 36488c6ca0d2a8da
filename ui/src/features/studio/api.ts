import { queryOptions } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { Checkpoint } from "@/shared/api/types";

const RECENT = 50;

export const graphQuery = queryOptions({
  queryKey: keys.graph,
  queryFn: ({ signal }) => take(api.GET("/api/v1/studio/graph", { signal })),
  staleTime: Infinity,
});

/** A conversation's checkpoints, oldest first. */
export const checkpointsQuery = (conversationId: string) =>
  queryOptions({
    queryKey: keys.checkpoints(conversationId),
    queryFn: async ({ signal }): Promise<Checkpoint[]> => {
      const { items } = await take(
        api.GET("/api/v1/conversations/{conversation_id}/checkpoints", {
          params: { path: { conversation_id: conversationId } },
          signal,
        }),
      );
      return items.toReversed();
    },
  });

export const recentQuery = queryOptions({
  queryKey: ["conversations", "list", "studio"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/conversations", { params: { query: { limit: RECENT } }, signal })),
});
