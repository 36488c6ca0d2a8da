import { useQueryClient, type Query, type QueryClient } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";

/** How long a page waits for the slowest of its parts before it is shown without it. */
const PATIENCE_MS = 3_000;

const isPending = ({ state }: Query) => state.status === "pending";

/** The keys of what is being asked for elsewhere in the page, which nothing here waits for. */
const pendingNow = (queries: QueryClient) =>
  new Set(queries.getQueryCache().findAll({ predicate: isPending }).map(({ queryHash }) => queryHash));

/**
 * A page of several parts, shown once each has what it asked for first. Where lists arrive one by one instead, they push
 * down what stands below them, and a click that is under way then hits nothing, or something else.
 */
export function Settled({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const [others] = useState(() => pendingNow(queries));
  const [isSettled, setIsSettled] = useState(false);
  useEffect(() => {
    if (isSettled) return;
    const look = () => {
      const waits = queries.isFetching({ predicate: (query) => isPending(query) && !others.has(query.queryHash) });
      if (waits === 0) setIsSettled(true);
    };
    look();
    const unsubscribe = queries.getQueryCache().subscribe(look);
    const patience = setTimeout(() => setIsSettled(true), PATIENCE_MS);
    return () => {
      unsubscribe();
      clearTimeout(patience);
    };
  }, [queries, others, isSettled]);
  return <div style={{ display: isSettled ? "contents" : "none" }}>{children}</div>;
}
