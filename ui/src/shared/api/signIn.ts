import { queryOptions } from "@tanstack/react-query";
import { at } from "@/shared/root";
import { api, take } from "./client";
import { keys } from "./keys";

/** How one can sign in here. */
export const methodsQuery = queryOptions({
  queryKey: keys.methods,
  queryFn: ({ signal }) => take(api.GET("/api/v1/auth/methods", { signal })),
  staleTime: Infinity,
});

/** Where the browser signs in through a provider; `link` adds the identity to the account that is signed in. */
export const signInAddress = (name: string, to: string, link = false): string =>
  at(`/api/v1/auth/oidc/${encodeURIComponent(name)}/login?${new URLSearchParams({ to, ...(link ? { link: "true" } : {}) })}`);
