import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";
import type { BudgetLeft } from "./types";

const REFRESH_MS = 60_000;

/** The budgets that one's calls of models fall under; empty where nothing limits one. */
export const budgetLeftQuery = queryOptions({
  queryKey: keys.budgetLeft,
  queryFn: async ({ signal }): Promise<BudgetLeft[]> => (await take(api.GET("/api/v1/stats/budget", { signal }))).items,
  refetchInterval: REFRESH_MS,
});

/** How much of a budget is used, from 0 to 1: of that of its limits which ends first. */
export const usedShare = (budget: BudgetLeft): number =>
  Math.max(
    share(budget.used_tokens, budget.tokens),
    share(budget.used_requests, budget.requests),
    share(budget.used_money, budget.money),
  );

const share = (used: number, limit: number | null): number => (limit === null ? 0 : limit === 0 ? 1 : used / limit);
