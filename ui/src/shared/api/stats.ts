import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";

/** What the account has and used, and may have. */
export const statsQuery = queryOptions({
  queryKey: keys.stats("user"),
  queryFn: ({ signal }) => take(api.GET("/api/v1/stats/user", { signal })),
});
