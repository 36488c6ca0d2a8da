import { queryOptions, useQueries, useQuery } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { DefaultModel, ModelList, ModelSource, ModelStatus } from "@/shared/api/types";

export const SOURCES = ["embedded", "ollama", "openai", "aihub"] as const satisfies ModelSource[];
export type Provider = (typeof SOURCES)[number];

const FRESH_MS = 30_000;

export const statusQuery = queryOptions({
  queryKey: [...keys.models, "status"],
  queryFn: ({ signal }): Promise<ModelStatus> => take(api.GET("/api/v1/models/status", { signal })),
  staleTime: FRESH_MS,
});

const listQuery = (mode: Provider) =>
  queryOptions({
    queryKey: [...keys.models, "list", mode],
    queryFn: ({ signal }): Promise<ModelList> =>
      take(api.GET("/api/v1/models/list", { params: { query: { mode } }, signal })),
    staleTime: FRESH_MS,
  });

/** The model that answers now where none is named. */
export const defaultModelQuery = queryOptions({
  queryKey: [...keys.models, "default"],
  queryFn: ({ signal }): Promise<DefaultModel> => take(api.GET("/api/v1/models/default", { signal })),
  staleTime: FRESH_MS,
});

export interface ProviderModels {
  source: Provider;
  available: boolean;
  error: string | null;
  models: ModelList["models"];
}

/** Every provider with its models; asked for only while someone is looking. */
export function useProviders(enabled: boolean): { providers: ProviderModels[]; loading: boolean } {
  const status = useQuery({ ...statusQuery, enabled });
  const lists = useQueries({ queries: SOURCES.map((source) => ({ ...listQuery(source), enabled })) });
  const providers = SOURCES.map((source, index) => ({
    source,
    available: status.data?.[source].available ?? false,
    error: status.data?.[source].error ?? lists[index]?.data?.error ?? null,
    models: lists[index]?.data?.models ?? [],
  }));
  return { providers, loading: status.isLoading || lists.some((list) => list.isLoading) };
}

/** Whether a model can call tools, as far as its provider tells; a server of one's own finds out when it is asked. */
export function useTakesTools({ source, name }: { source: ModelSource | null; name: string | null }): boolean {
  const known = SOURCES.find((each) => each === source);
  const { data } = useQuery({ ...listQuery(known ?? "ollama"), enabled: known === "ollama" });
  if (source === "aihub" || source === "embedded") return false;
  const model = known === "ollama" ? data?.models.find((each) => (name ? each.name === name : each.default)) : undefined;
  return model?.capabilities.tools ?? true;
}
