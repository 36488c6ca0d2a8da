import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { Group, GroupCreate, GroupMember } from "@/shared/api/types";

const PAGE = 200;

export const groupMembersQuery = (id: string) =>
  queryOptions({
    queryKey: keys.groupMembers(id),
    staleTime: 0,
    queryFn: ({ signal }): Promise<GroupMember[]> =>
      allPages((cursor) =>
        take(
          api.GET("/api/v1/groups/{group_id}/members", {
            params: { path: { group_id: id }, query: { limit: PAGE, cursor } },
            signal,
          }),
        ),
      ),
  });

/** Change a group, or make a new one where no id is given. */
export function useSaveGroup() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: GroupCreate & { id?: string }): Promise<Group> =>
      id
        ? take(api.PUT("/api/v1/groups/{group_id}", { params: { path: { group_id: id } }, body }))
        : take(api.POST("/api/v1/groups", { body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.groups }),
  });
}

export function useDeleteGroup() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => take(api.DELETE("/api/v1/groups/{group_id}", { params: { path: { group_id: id } } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.groups }),
  });
}

interface MemberInput {
  user_id?: string;
  username?: string;
  role: GroupMember["role"];
}

/** Take a person into a group, or give them another role. */
export function useSetGroupMember(groupId: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: MemberInput) =>
      take(api.PUT("/api/v1/groups/{group_id}/members", { params: { path: { group_id: groupId } }, body })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.groups }),
  });
}

export function useRemoveGroupMember(groupId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (userId: string) =>
      take(
        api.DELETE("/api/v1/groups/{group_id}/members/{user_id}", {
          params: { path: { group_id: groupId, user_id: userId } },
        }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.groups }),
  });
}
