import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { HoldCreate, RetentionLimits, RetentionStore } from "@/shared/api/types";

/** The stores that have an age limit, as the page lists them. */
export const STORES = [
  "conversations",
  "files",
  "library_files",
  "traces",
  "events",
  "audit",
] as const satisfies RetentionStore[];
export const LEAST_DAYS: Partial<Record<RetentionStore, number>> = { audit: 90 };

export const retentionQuery = queryOptions({
  queryKey: keys.retention,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/retention", { signal })),
});

/** What limits would delete now. */
export function usePreviewRetention() {
  return useMutation({
    mutationFn: (body: RetentionLimits) => take(api.POST("/api/v1/admin/retention/preview", { body })),
  });
}

export function useSetRetention() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: RetentionLimits) => take(api.PUT("/api/v1/admin/retention", { body })),
    onSuccess: (limits) => queries.setQueryData(keys.retention, limits),
  });
}

/** Deletes what is older than the limits that are set. */
export function useApplyRetention() {
  return useMutation({ mutationFn: () => take(api.POST("/api/v1/admin/retention/apply")) });
}

export const holdsQuery = queryOptions({
  queryKey: keys.holds,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/holds", { signal })),
});

export function usePlaceHold() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: HoldCreate) => take(api.POST("/api/v1/admin/holds", { body })),
    onSuccess: (holds) => queries.setQueryData(keys.holds, holds),
  });
}

export function useReleaseHold() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/v1/admin/holds/{hold_id}", { params: { path: { hold_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.holds }),
  });
}

export const erasureQuery = (id: string) =>
  queryOptions({
    queryKey: keys.erasure(id),
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/admin/users/{user_id}/erasure", { params: { path: { user_id: id } }, signal })),
    // Counted anew each time it is asked: somebody decides by it.
    staleTime: 0,
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
  });

export function useErase(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(api.POST("/api/v1/admin/users/{user_id}/erasure", { params: { path: { user_id: id } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["users"] }),
  });
}
