import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { allPages } from "@/shared/api/all";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import { isLast, oneByOne } from "@/shared/api/oneByOne";
import { leave, signOut } from "@/shared/api/person";
import type { components } from "@/shared/api/schema";

type NewApiKey = components["schemas"]["ApiKeyCreate"];
export type WaysToSignIn = components["schemas"]["WaysToSignIn"];
export type TwoFactorSetup = components["schemas"]["TwoFactorSetup"];

const PAGE = 100;

export const sessionsQuery = queryOptions({
  queryKey: keys.sessions,
  queryFn: ({ signal }) => take(api.GET("/api/v1/auth/sessions", { signal })),
});

export const waysToSignInQuery = queryOptions({
  queryKey: keys.waysToSignIn,
  queryFn: ({ signal }) => take(api.GET("/api/v1/auth/sign-in", { signal })),
});

/** A change of how one signs in; what the page shows of it is read anew. */
function useSignInChange<Given, Told>(change: (given: Given) => Promise<Told>) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.waysToSignIn }),
  });
}

export const useRemoveIdentity = () =>
  useSignInChange((id: string) =>
    take(api.DELETE("/api/v1/auth/identities/{identity_id}", { params: { path: { identity_id: id } } })),
  );

export const useBeginTwoFactor = () =>
  useMutation({ mutationFn: (password: string) => take(api.POST("/api/v1/auth/two-factor", { body: { password } })) });

export const useConfirmTwoFactor = () =>
  useSignInChange((code: string) => take(api.POST("/api/v1/auth/two-factor/confirm", { body: { code } })));

export const useRenewRecoveryCodes = () =>
  useSignInChange((password: string) => take(api.POST("/api/v1/auth/two-factor/recovery-codes", { body: { password } })));

export const useSwitchTwoFactorOff = () =>
  useSignInChange((body: { password: string; code: string }) => take(api.POST("/api/v1/auth/two-factor/off", { body })));

export type Profile = components["schemas"]["ProfileRead"];

export const profileQuery = queryOptions({
  queryKey: keys.profile,
  queryFn: ({ signal }): Promise<Profile> => take(api.GET("/api/v1/profile", { signal })),
});

const SAVES = "save-profile";

/** Change one's profile. Changes reach the server in the order in which they are made. */
export function useSaveProfile() {
  const queries = useQueryClient();
  return useMutation({
    ...oneByOne(SAVES),
    mutationFn: (body: Partial<Profile>) => take(api.PATCH("/api/v1/profile", { body })),
    onMutate: (body) => queries.setQueryData<Profile>(keys.profile, (known) => known && { ...known, ...body }),
    onSettled: () => (isLast(queries, SAVES) ? queries.invalidateQueries({ queryKey: keys.profile }) : undefined),
  });
}

export const memoriesQuery = queryOptions({
  queryKey: keys.memories,
  queryFn: async ({ signal }) => (await take(api.GET("/api/v1/memories", { signal }))).items,
});

export function useAddMemory() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (text: string) => take(api.POST("/api/v1/memories", { body: { text } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.memories }),
  });
}

/** Forget one thing, or everything for null. */
export function useForget() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string | null) =>
      id === null
        ? take(api.DELETE("/api/v1/memories", {}))
        : take(api.DELETE("/api/v1/memories/{memory_id}", { params: { path: { memory_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.memories }),
  });
}

export const useChangePassword = () =>
  useMutation({
    mutationFn: (body: { current_password: string; new_password: string }) =>
      take(api.POST("/api/v1/auth/change-password", { body })),
  });

export function useEndSession() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) => take(api.DELETE("/api/v1/auth/sessions/{session_id}", { params: { path: { session_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.sessions }),
  });
}

/** End every session of the account, this one too. */
export const useEndAllSessions = () => useMutation({ meta: { toast: true }, mutationFn: () => signOut(true) });

export const apiKeysQuery = queryOptions({
  queryKey: keys.apiKeys,
  queryFn: ({ signal }) => take(api.GET("/api/v1/api-keys", { signal })),
});

export function useCreateApiKey() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: NewApiKey) => take(api.POST("/api/v1/api-keys", { body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.apiKeys }),
  });
}

export function useRevokeApiKey() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) => take(api.DELETE("/api/v1/api-keys/{key_id}", { params: { path: { key_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.apiKeys }),
  });
}

export const useDeleteAccount = () =>
  useMutation({
    mutationFn: (password: string) => take(api.DELETE("/api/v1/auth/me", { body: { password } })),
    onSuccess: () => leave(),
  });

/** Collect everything that is the user's: profile, list of files, every conversation as its export has it. */
export async function collectData(onCount: (conversations: number) => void): Promise<object> {
  const profile = await take(api.GET("/api/v1/auth/me", {}));
  const files = await allPages((cursor) =>
    take(api.GET("/api/v1/files", { params: { query: { limit: PAGE, cursor } } })),
  );
  const list = await allPages((cursor) =>
    take(api.GET("/api/v1/conversations", { params: { query: { limit: PAGE, cursor, include_archived: true } } })),
  );
  const conversations: unknown[] = [];
  for (const { id } of list) {
    conversations.push(
      await take(
        api.GET("/api/v1/conversations/{conversation_id}/export", { params: { path: { conversation_id: id }, query: { format: "json" } } }),
      ),
    );
    onCount(conversations.length);
  }
  const page = (cursor: string | undefined) => ({ params: { query: { limit: PAGE, cursor } } });
  const personal = await take(api.GET("/api/v1/profile", {}));
  const memories = (await take(api.GET("/api/v1/memories", {}))).items;
  const projects = await allPages((cursor) => take(api.GET("/api/v1/projects", page(cursor))));
  const assistants = await allPages((cursor) => take(api.GET("/api/v1/assistants", page(cursor))));
  const prompts = await allPages((cursor) => take(api.GET("/api/v1/prompts", page(cursor))));
  const own = <Item extends { is_owner: boolean }>(items: Item[]) => items.filter(({ is_owner: mine }) => mine);
  return {
    profile,
    personal,
    memories,
    projects,
    assistants: own(assistants),
    prompts: own(prompts),
    files,
    conversations,
  };
}
