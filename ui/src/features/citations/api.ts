import { queryOptions } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";

const IN_WORK = new Set(["pending", "processing"]);
const POLL_MS = 800;

/** The extracted text of a file, to which the offsets of passages refer. */
export const fileTextQuery = (id: string) =>
  queryOptions({
    queryKey: keys.fileText(id),
    queryFn: ({ signal }) => take(api.GET("/api/v1/files/{file_id}/text", { params: { path: { file_id: id } }, signal })),
    staleTime: Infinity,
    retry: false,
  });

export const fileQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.files, "one", id],
    queryFn: ({ signal }) => take(api.GET("/api/v1/files/{file_id}", { params: { path: { file_id: id } }, signal })),
    retry: false,
    refetchInterval: ({ state }) => (state.data && IN_WORK.has(state.data.status) ? POLL_MS : false),
  });
