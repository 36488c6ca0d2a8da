import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { signOut } from "@/shared/api/person";

/** Sign in; the server answers with an HttpOnly cookie, and the tokens in the body are left alone. */
export function useSignIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { username: string; password: string; code?: string }) => take(api.POST("/api/v1/auth/login", { body })),
    onSuccess: () => queries.clear(),
  });
}

/** Whether an invitation's link still makes an account. */
export const invitationQuery = (token: string) =>
  queryOptions({
    queryKey: ["invitation", token],
    queryFn: ({ signal }) => take(api.GET("/api/v1/auth/invitations/{token}", { params: { path: { token } }, signal })),
  });

/** Create an account and sign in to it. */
export function useSignUp() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (body: { username: string; email: string; password: string; invitation: string | undefined }) => {
      await take(api.POST("/api/v1/auth/register", { body }));
      const { username, password } = body;
      await take(api.POST("/api/v1/auth/login", { body: { username, password } }));
    },
    onSuccess: () => queries.clear(),
  });
}

export const useForgotPassword = () =>
  useMutation({ mutationFn: (email: string) => take(api.POST("/api/v1/auth/forgot-password", { body: { email } })) });

export const useResetPassword = () =>
  useMutation({
    mutationFn: (body: { token: string; password: string }) => take(api.POST("/api/v1/auth/reset-password", { body })),
  });

export const useSignOut = () => useMutation({ meta: { toast: true }, mutationFn: () => signOut(false) });
