import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { components } from "@/shared/api/schema";

export type Share = components["schemas"]["ShareRead"];
export type Shared = components["schemas"]["SharedRead"];
type NewShare = components["schemas"]["ShareCreate"];

export const sharesQuery = (conversationId: string) =>
  queryOptions({
    queryKey: keys.shares(conversationId),
    queryFn: ({ signal }) =>
      take(
        api.GET("/api/v1/conversations/{conversation_id}/shares", {
          params: { path: { conversation_id: conversationId } },
          signal,
        }),
      ),
  });

export function useShare(conversationId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: NewShare) =>
      take(
        api.POST("/api/v1/conversations/{conversation_id}/shares", {
          params: { path: { conversation_id: conversationId } },
          body,
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.shares(conversationId) }),
  });
}

export function useRevokeShare(conversationId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) =>
      take(
        api.DELETE("/api/v1/conversations/{conversation_id}/shares/{share_id}", {
          params: { path: { conversation_id: conversationId, share_id: id } },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.shares(conversationId) }),
  });
}

export const sharedQuery = (token: string) =>
  queryOptions({
    queryKey: keys.shared(token),
    queryFn: ({ signal }): Promise<Shared> => take(api.GET("/api/v1/shared/{token}", { params: { path: { token } }, signal })),
    retry: false,
  });
