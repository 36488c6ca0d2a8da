import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import type { AllowedModel, ModelPriceSet, ModelRuleSet, ProviderName } from "@/shared/api/types";

export const modelRulesQuery = queryOptions({
  queryKey: keys.modelRules,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/model-rules", { signal })),
});

export const modelPricesQuery = queryOptions({
  queryKey: keys.modelPrices,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/model-prices", { signal })),
});

/** What is asked for again once a rule or a price has changed: the picker's models too. */
function useChanged() {
  const queries = useQueryClient();
  return () => {
    for (const queryKey of [keys.modelRules, keys.modelPrices, keys.models]) void queries.invalidateQueries({ queryKey });
  };
}

export function useSetModelRule() {
  const onSuccess = useChanged();
  return useMutation({
    mutationFn: (body: ModelRuleSet) => take(api.PUT("/api/v1/admin/model-rules", { body })),
    onSuccess,
  });
}

export function useDeleteModelRule() {
  const onSettled = useChanged();
  return useMutation({
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/admin/model-rules/{rule_id}", { params: { path: { rule_id: id } } })),
    onSettled,
  });
}

export function useSetModelPrice() {
  const onSuccess = useChanged();
  return useMutation({
    mutationFn: (body: ModelPriceSet) => take(api.PUT("/api/v1/admin/model-prices", { body })),
    onSuccess,
  });
}

export function useDeleteModelPrice() {
  const onSettled = useChanged();
  return useMutation({
    meta: { toast: true },
    mutationFn: ({ source, name }: { source: ProviderName; name: string }) =>
      take(
        api.DELETE("/api/v1/admin/model-prices/{model_source}/{model_name}", {
          params: { path: { model_source: source, model_name: name } },
        }),
      ),
    onSettled,
  });
}

/** `source/model`, or a source alone, as people write it; the server says which sources there are. */
export function modelOf(text: string): AllowedModel {
  const [source = "", ...name] = text.trim().split("/");
  return { source: source as ProviderName, name: name.join("/") || null };
}

export const modelText = ({ source, name }: AllowedModel): string => (name ? `${source}/${name}` : source);
