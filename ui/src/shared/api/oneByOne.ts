import type { Mutation, QueryClient } from "@tanstack/react-query";

/** Options of a mutation whose calls reach the server in the order in which they are made. */
export const oneByOne = (name: string) => ({ mutationKey: [name], scope: { id: name } });

/**
 * Whether nothing waits behind a mutation of that name that ends just now; `about` tells the ones that count.
 *
 * The server knows nothing yet of those that wait: what it says before would take back what is shown of them.
 */
export const isLast = (queries: QueryClient, name: string, about?: (mutation: Mutation) => boolean): boolean =>
  queries.isMutating({ mutationKey: [name], predicate: about }) === 1;
