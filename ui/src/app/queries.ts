import { QueryClient } from "@tanstack/react-query";
import { ApiError, isUnreachable } from "@/shared/api/errors";
import { untilServerAnswers } from "@/shared/api/reachable";

const RETRIES = 2;

/**
 * The query cache: what the server has refused is not asked for again, what did not reach it is. What is done without a
 * connection fails at once, and is told, instead of waiting unseen.
 */
export function createQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      mutations: { networkMode: "always" },
      queries: {
        staleTime: 5_000,
        retry: (count, error) => count < RETRIES && (!(error instanceof ApiError) || error.status === 0 || error.status >= 500),
      },
    },
  });
}

/** Ask once more, as soon as the server answers again, for all that is shown and that nobody answered for. */
export function refetchWhenBack(queries: QueryClient): void {
  let isLooking = false;
  queries.getQueryCache().subscribe((event) => {
    if (event.type !== "updated" || event.action.type !== "error" || isLooking || !isUnreachable(event.action.error)) return;
    isLooking = true;
    void untilServerAnswers().then(() => {
      isLooking = false;
      return queries.refetchQueries({ type: "active", predicate: ({ state }) => isUnreachable(state.error) });
    });
  });
}
