import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import { isLast, oneByOne } from "@/shared/api/oneByOne";
import type { Project, ProjectPatch } from "@/shared/api/types";

const PAGE = 200;

export const projectsQuery = queryOptions({
  queryKey: keys.projects,
  queryFn: ({ signal }): Promise<Project[]> =>
    allPages((cursor) => take(api.GET("/api/v1/projects", { params: { query: { limit: PAGE, cursor } }, signal }))),
});

const SAVES = "save-project";

/** Change a project, or begin one where no id is given. Changes reach the server in the order in which they are made. */
export function useSaveProject() {
  const queries = useQueryClient();
  return useMutation({
    ...oneByOne(SAVES),
    mutationFn: ({ id, ...body }: ProjectPatch & { id?: string }): Promise<Project> =>
      id
        ? take(api.PATCH("/api/v1/projects/{project_id}", { params: { path: { project_id: id } }, body }))
        : take(api.POST("/api/v1/projects", { body: { ...body, name: body.name ?? "" } })),
    // What was chosen is shown at once; a refusal shows again what is.
    onMutate: async ({ id, ...body }) => {
      await queries.cancelQueries({ queryKey: keys.projects });
      queries.setQueryData<Project[]>(keys.projects, (known) =>
        known?.map((project) => (project.id === id ? { ...project, ...withoutNull(body) } : project)),
      );
    },
    onSettled: () => (isLast(queries, SAVES) ? queries.invalidateQueries({ queryKey: keys.projects }) : undefined),
  });
}

const withoutNull = ({ name, instructions, file_ids, library_ids }: ProjectPatch): Partial<Project> => ({
  ...(name ? { name } : {}),
  ...(instructions !== undefined ? { instructions } : {}),
  ...(file_ids ? { file_ids } : {}),
  ...(library_ids ? { library_ids } : {}),
});

/** Delete a project; its chats go back to the list of all. */
export function useDeleteProject() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/v1/projects/{project_id}", { params: { path: { project_id: id } } })),
    onSuccess: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: keys.projects }),
        queries.invalidateQueries({ queryKey: keys.conversations }),
      ]),
  });
}
