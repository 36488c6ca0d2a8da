import { at } from "@/shared/root";
import { queryOptions, useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { StoredFile } from "@/shared/api/types";

const PAGE = 200;
const POLL_MS = 800;

export const inWork = (file: StoredFile): boolean => file.status === "pending" || file.status === "processing";

/**
 * The files of one conversation, or all of them for null; asked for again while one of them is in work. With `unasked`,
 * only those that no question came with.
 */
export const filesQuery = (conversationId: string | null, unasked = false) =>
  queryOptions({
    queryKey: keys.fileList(conversationId, unasked),
    queryFn: ({ signal }): Promise<StoredFile[]> =>
      allPages((cursor) =>
        take(
          api.GET("/api/v1/files", {
            params: { query: { limit: PAGE, cursor, conversation_id: conversationId ?? undefined, unasked: unasked || undefined } },
            signal,
          }),
        ),
      ),
    refetchInterval: ({ state }) => (state.data?.some(inWork) ? POLL_MS : false),
  });

/** Everything that shows files, or the room that they take, is out of date. */
export async function refreshFiles(queries: QueryClient): Promise<void> {
  // A list's first fetch would not begin again, and the one under way may have come too early.
  await queries.cancelQueries({ queryKey: keys.fileLists });
  await Promise.all([
    queries.invalidateQueries({ queryKey: keys.files }),
    queries.invalidateQueries({ queryKey: keys.stats("user") }),
  ]);
}

/** Let a file take the place of an older one, as soon as it can be searched. */
export function useReplaceFile() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, olderId }: { id: string; olderId: string }) =>
      take(
        api.POST("/api/v1/files/{file_id}/replace", { params: { path: { file_id: id } }, body: { file_id: olderId } }),
      ),
    onSettled: () => refreshFiles(queries),
  });
}

export function useDeleteFile() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/v1/files/{file_id}", { params: { path: { file_id: id } } })),
    onSettled: () => refreshFiles(queries),
  });
}

/** Index a file again, after a failure for instance. */
export function useProcessFile() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) => take(api.POST("/api/v1/files/process/{file_id}", { params: { path: { file_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.files }),
  });
}

/** Take a file out of a conversation; it stays in the library. */
export function useDetachFile() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: ({ id, conversationId }: { id: string; conversationId: string }) =>
      take(
        api.POST("/api/v1/files/{file_id}/detach", {
          params: { path: { file_id: id } },
          body: { conversation_id: conversationId },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.files }),
  });
}

export function useAttachFile() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, conversationId }: { id: string; conversationId: string }) =>
      take(
        api.POST("/api/v1/files/{file_id}/attach", {
          params: { path: { file_id: id } },
          body: { conversation_id: conversationId },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.files }),
  });
}

export const contentAddress = (id: string): string => at(`/api/v1/files/${id}/content`);
