import { queryOptions, useMutation, useQueryClient, type Mutation } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";
import { isLast, oneByOne } from "./oneByOne";
import type { Conversation, ConversationPatch, ConversationStart } from "./types";

const YOUNG_MS = 60_000;
const TITLE_POLL_MS = 3000;

/** Asks again for a while after a conversation's beginning: its title is made once its first answer is there. */
export const untilTitled = (conversation: Conversation | undefined): number | false =>
  conversation && Date.now() - Date.parse(conversation.created_at) < YOUNG_MS ? TITLE_POLL_MS : false;

/** One conversation. */
export const conversationQuery = (id: string) =>
  queryOptions({
    queryKey: keys.conversation(id),
    queryFn: ({ signal }) => take(api.GET("/api/v1/conversations/{conversation_id}", { params: { path: { conversation_id: id } }, signal })),
    refetchInterval: ({ state }) => untilTitled(state.data),
  });

const PATCHES = "patch-conversation";

/** Change one conversation; the list and the open one follow. Changes reach the server in the order in which they are made. */
export function usePatchConversation() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    ...oneByOne(PATCHES),
    mutationFn: ({ id, ...body }: ConversationPatch & { id: string }) =>
      take(api.PATCH("/api/v1/conversations/{conversation_id}", { params: { path: { conversation_id: id } }, body })),
    // What was chosen is shown at once; a refusal shows again what is.
    onMutate: async ({ id, ...body }) => {
      const show = () =>
        queries.setQueryData<Conversation>(keys.conversation(id), (known) => known && { ...known, ...body });
      show();
      // A look that began before knows nothing of it, and its end brings back what was there then.
      await queries.cancelQueries({ queryKey: keys.conversation(id) });
      show();
    },
    onError: (_error, { id }) => queries.invalidateQueries({ queryKey: keys.conversation(id) }),
    onSuccess: (conversation) => {
      const { id } = conversation;
      const ofThis = ({ state }: Mutation) => (state.variables as { id: string }).id === id;
      if (isLast(queries, PATCHES, ofThis)) queries.setQueryData(keys.conversation(id), conversation);
      return queries.invalidateQueries({ queryKey: keys.conversationLists });
    },
  });
}

/** Start an empty conversation: for files that come before the first question, in a project, with an assistant. */
export function useCreateConversation() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: ConversationStart) =>
      take(api.POST("/api/v1/conversations", { body })),
    onSuccess: (conversation) => {
      queries.setQueryData(keys.conversation(conversation.id), conversation);
      queries.setQueryData(keys.messages(conversation.id), []);
      return queries.invalidateQueries({ queryKey: keys.conversationLists });
    },
  });
}
