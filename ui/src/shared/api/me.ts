import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";
import { notePerson } from "./person";
import type { User } from "./types";

/**
 * Who is signed in; an error `not_authenticated` where nobody is. Where it is somebody else than before, the page begins
 * anew: what it has in memory is not theirs.
 */
export const meQuery = queryOptions({
  queryKey: keys.me,
  queryFn: async ({ signal }) => {
    const me = await take(api.GET("/api/v1/auth/me", { signal }));
    if (!notePerson(me.id)) return me;
    location.reload();
    return new Promise<never>(() => undefined);
  },
  staleTime: 60_000,
  retry: false,
});

export const useMe = (): User | undefined => useQuery(meQuery).data;
