import { queryOptions, useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { Library, LibraryMember, LibraryMemberSet, LibraryPatch, StoredFile } from "@/shared/api/types";

const PAGE = 200;
const POLL_MS = 800;

/** The shared libraries that one sees; others change them, so each page that shows them looks anew. */
export const librariesQuery = queryOptions({
  queryKey: keys.libraries,
  staleTime: 0,
  queryFn: async ({ signal }): Promise<Library[]> => (await take(api.GET("/api/v1/libraries", { signal }))).items,
});

export const libraryQuery = (id: string) =>
  queryOptions({
    queryKey: keys.library(id),
    staleTime: 0,
    queryFn: ({ signal }): Promise<Library> =>
      take(api.GET("/api/v1/libraries/{library_id}", { params: { path: { library_id: id } }, signal })),
  });

/** A library's files; asked for again while one of them is in work. */
export const libraryFilesQuery = (id: string) =>
  queryOptions({
    queryKey: keys.libraryFiles(id),
    staleTime: 0,
    queryFn: ({ signal }): Promise<StoredFile[]> =>
      allPages((cursor) =>
        take(
          api.GET("/api/v1/libraries/{library_id}/files", {
            params: { path: { library_id: id }, query: { limit: PAGE, cursor } },
            signal,
          }),
        ),
      ),
    refetchInterval: ({ state }) =>
      state.data?.some(({ status }) => status === "pending" || status === "processing") ? POLL_MS : false,
  });

export const libraryMembersQuery = (id: string) =>
  queryOptions({
    queryKey: keys.libraryMembers(id),
    staleTime: 0,
    queryFn: async ({ signal }): Promise<LibraryMember[]> =>
      (await take(api.GET("/api/v1/libraries/{library_id}/members", { params: { path: { library_id: id } }, signal })))
        .items,
  });

const refresh = (queries: QueryClient) =>
  Promise.all([
    queries.invalidateQueries({ queryKey: keys.libraries }),
    queries.invalidateQueries({ queryKey: keys.files }),
  ]);

/** Change a library, or make a new one where no id is given. */
export function useSaveLibrary() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: LibraryPatch & { id?: string }): Promise<Library> =>
      id
        ? take(api.PATCH("/api/v1/libraries/{library_id}", { params: { path: { library_id: id } }, body }))
        : take(api.POST("/api/v1/libraries", { body: { ...body, name: body.name ?? "" } })),
    onSuccess: () => refresh(queries),
  });
}

export function useDeleteLibrary() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/libraries/{library_id}", { params: { path: { library_id: id } } })),
    onSuccess: () => refresh(queries),
  });
}

/** Put files of one's own into a library. */
export function useAddFiles(libraryId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (fileIds: string[]) =>
      Promise.all(
        fileIds.map((file_id) =>
          take(
            api.POST("/api/v1/libraries/{library_id}/files", {
              params: { path: { library_id: libraryId } },
              body: { file_id },
            }),
          ),
        ),
      ),
    onSettled: () => refresh(queries),
  });
}

/** Take a file out of a library; it stays its owner's. */
export function useTakeOut(libraryId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (fileId: string) =>
      take(
        api.DELETE("/api/v1/libraries/{library_id}/files/{file_id}", {
          params: { path: { library_id: libraryId, file_id: fileId } },
        }),
      ),
    onSettled: () => refresh(queries),
  });
}

/** Let a person or a group in, or change what they may do. */
export function useSetMember(libraryId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (member: LibraryMemberSet) =>
      take(
        api.PUT("/api/v1/libraries/{library_id}/members", {
          params: { path: { library_id: libraryId } },
          body: { role: "viewer", is_default: false, ...member },
        }),
      ),
    onSettled: () => refresh(queries),
  });
}

export function useRemoveMember(libraryId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (memberId: string) =>
      take(
        api.DELETE("/api/v1/libraries/{library_id}/members/{member_id}", {
          params: { path: { library_id: libraryId, member_id: memberId } },
        }),
      ),
    onSettled: () => refresh(queries),
  });
}
