import { queryOptions } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";

const FRESH_MS = 30_000;

/** The tools that may be switched on, and those that are on where nobody has chosen. */
export const toolsQuery = queryOptions({
  queryKey: keys.tools,
  queryFn: ({ signal }) => take(api.GET("/api/v1/tools", { signal })),
  staleTime: FRESH_MS,
});
