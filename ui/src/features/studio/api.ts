import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, send, take } from "@/shared/api/client";
import { readError } from "@/shared/api/errors";
import { keys } from "@/shared/api/keys";
import type { Checkpoint } from "@/shared/api/types";

const RECENT = 50;

export const graphQuery = queryOptions({
  queryKey: keys.graph,
  queryFn: ({ signal }) => take(api.GET("/api/v1/studio/graph", { signal })),
  staleTime: Infinity,
});

/** A conversation's checkpoints, oldest first. */
export const checkpointsQuery = (conversationId: string) =>
  queryOptions({
    queryKey: keys.checkpoints(conversationId),
    queryFn: async ({ signal }): Promise<Checkpoint[]> => {
      const { items } = await take(
        api.GET("/api/v1/conversations/{conversation_id}/checkpoints", {
          params: { path: { conversation_id: conversationId } },
          signal,
        }),
      );
      return items.toReversed();
    },
  });

/**
 * Run the graph from one of a conversation's states: with a question, or (null) as it ran from there. Ends when the run
 * does. By LangGraph's own protocol, as any other client would.
 */
export function useRunFrom(conversationId: string) {
  const queries = useQueryClient();
  const runs = `/langgraph/threads/${conversationId}/runs`;
  return useMutation({
    mutationFn: async ({ checkpointId, question }: { checkpointId: string; question: string | null }) => {
      const { run_id } = await json<{ run_id: string }>(
        send(runs, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({
            assistant_id: "chat",
            checkpoint_id: checkpointId,
            input: question === null ? null : { messages: [{ type: "human", content: question }] },
          }),
        }),
      );
      await json(send(`${runs}/${run_id}/join`));
    },
    onSettled: () =>
      Promise.all([
        queries.invalidateQueries({ queryKey: keys.checkpoints(conversationId) }),
        queries.invalidateQueries({ queryKey: keys.messages(conversationId) }),
      ]),
  });
}

async function json<Data>(answer: Promise<Response>): Promise<Data> {
  const response = await answer;
  if (!response.ok) throw await readError(response);
  return (await response.json()) as Data;
}

export const recentQuery = queryOptions({
  queryKey: ["conversations", "list", "studio"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/conversations", { params: { query: { limit: RECENT } }, signal })),
});
