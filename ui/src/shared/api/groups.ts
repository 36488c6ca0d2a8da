import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";
import type { Group } from "./types";

/** All groups of people, by name; `role` is one's own in each. */
export const groupsQuery = queryOptions({
  queryKey: keys.groups,
  staleTime: 0,
  queryFn: async ({ signal }): Promise<Group[]> => (await take(api.GET("/api/v1/groups", { signal }))).items,
});
