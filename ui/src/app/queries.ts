import { QueryClient } from "@tanstack/react-query";
import { ApiError, isUnreachable } from "@/shared/api/errors";
import { FIRST_PAUSE_MS, pause, serverAnswers } from "@/shared/api/reachable";

const RETRIES = 2;

/**
 * The query cache: what the server has refused is not asked for again, what did not reach it is. What is done or looked
 * at without a connection fails at once, and is told, instead of waiting unseen.
 */
export function createQueries(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      mutations: { networkMode: "always" },
      queries: {
        networkMode: "always",
        refetchOnReconnect: true,
        staleTime: 5_000,
        retry: (count, error) => count < RETRIES && (!(error instanceof ApiError) || error.status === 0 || error.status >= 500),
      },
    },
  });
}

/** Ask again, once the server answers, for all that is shown and that nobody answered for. */
export function refetchWhenBack(queries: QueryClient): void {
  let isAway = false;
  queries.getQueryCache().subscribe((event) => {
    if (event.type !== "updated" || event.action.type !== "error" || isAway || !isUnreachable(event.action.error)) return;
    isAway = true;
    void refetchUntilAnswered(queries).finally(() => (isAway = false));
  });
}

/** The server may be there while what it stands on is not: less and less is asked of it, until all have an answer. */
async function refetchUntilAnswered(queries: QueryClient): Promise<void> {
  const unanswered = { type: "active", predicate: ({ state }: { state: { error: unknown } }) => isUnreachable(state.error) } as const;
  let wait = FIRST_PAUSE_MS;
  while (queries.getQueryCache().findAll(unanswered).length > 0) {
    wait = await pause(wait);
    if (await serverAnswers()) await queries.refetchQueries(unanswered);
  }
}
