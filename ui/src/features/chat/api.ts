import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import { oneByOne } from "@/shared/api/oneByOne";
import type { Decision, Message, FeedbackGiven } from "@/shared/api/types";
import { inOrder } from "./live/branch";

const PAGE = 200;

/** The shown branch of a conversation, root first. */
export const messagesQuery = (conversationId: string) =>
  queryOptions({
    queryKey: keys.messages(conversationId),
    queryFn: async ({ signal }): Promise<Message[]> =>
      inOrder(
        await allPages((cursor) =>
          take(
            api.GET("/api/v1/conversations/{conversation_id}/messages", {
              params: { path: { conversation_id: conversationId }, query: { limit: PAGE, cursor } },
              signal,
            }),
          ),
        ),
      ),
  });

/** Show the branch that goes through another version of a message. */
export function useSwitchBranch(conversationId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (messageId: string) =>
      take(
        api.PATCH("/api/v1/conversations/{conversation_id}", {
          params: { path: { conversation_id: conversationId } },
          body: { leaf_id: messageId },
        }),
      ),
    onSuccess: (conversation) => {
      queries.setQueryData(keys.conversation(conversationId), conversation);
      return queries.invalidateQueries({ queryKey: keys.messages(conversationId) });
    },
  });
}

/** What a conversation has cost; asked for while somebody looks. */
export const conversationUsageQuery = (id: string) =>
  queryOptions({
    queryKey: keys.conversationUsage(id),
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/conversations/{conversation_id}/usage", { params: { path: { conversation_id: id } }, signal })),
    staleTime: 0,
  });

/** Say whether an answer was good, and why, or take that back. */
export function useFeedback(conversationId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    ...oneByOne("feedback"),
    mutationFn: ({ id, feedback }: { id: string; feedback: FeedbackGiven | null }) => {
      const params = { path: { message_id: id } };
      return feedback
        ? take(api.PUT("/api/v1/messages/{message_id}/feedback", { params, body: feedback }))
        : take(api.DELETE("/api/v1/messages/{message_id}/feedback", { params }));
    },
    onMutate: ({ id, feedback }) => {
      const shown = feedback && { reasons: [], show_text: false, ...feedback };
      queries.setQueryData<Message[]>(keys.messages(conversationId), (branch) =>
        branch?.map((message) => (message.id === id ? { ...message, feedback: shown } : message)),
      );
    },
    onError: () => queries.invalidateQueries({ queryKey: keys.messages(conversationId) }),
  });
}

/** Answer what a run waits for; with `always`, calls of that tool wait no more in this conversation. */
export function useDecide(conversationId: string) {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: async ({ runId, decision, always }: { runId: string; decision: Decision; always?: string }) => {
      if (always) {
        const path = { conversation_id: conversationId };
        const { approved_tools } = await take(api.GET("/api/v1/conversations/{conversation_id}", { params: { path } }));
        const body = { approved_tools: [...new Set([...approved_tools, always])] };
        await take(api.PATCH("/api/v1/conversations/{conversation_id}", { params: { path }, body }));
      }
      const run = { path: { run_id: runId } };
      await take(api.POST("/api/v1/chat/runs/{run_id}/resume", { params: run, body: { decisions: [decision] } }));
    },
    // Another device may have decided first.
    onSettled: () => queries.invalidateQueries({ queryKey: keys.messages(conversationId) }),
  });
}
