import { queryOptions, useQuery } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";
import type { User } from "./types";

/** Who is signed in; an error `not_authenticated` where nobody is. */
export const meQuery = queryOptions({
  queryKey: keys.me,
  queryFn: ({ signal }) => take(api.GET("/api/v1/auth/me", { signal })),
  staleTime: 60_000,
  retry: false,
});

export const useMe = (): User | undefined => useQuery(meQuery).data;
