import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "@/shared/api/errors";

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
