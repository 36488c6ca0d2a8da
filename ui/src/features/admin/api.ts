import { infiniteQueryOptions, keepPreviousData, queryOptions, useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import type { operations } from "@/shared/api/schema";
import { keys } from "@/shared/api/keys";
import type { AnnouncementCreate, AuditEntry, BudgetSet, BulkAction, InvitationCreate, McpServerCreate, McpServerPatch, Page } from "@/shared/api/types";

const PAGE = 50;
const REFRESH_MS = 10_000;

export const systemQuery = queryOptions({
  queryKey: keys.stats("system"),
  queryFn: ({ signal }) => take(api.GET("/api/v1/stats/system", { signal })),
  refetchInterval: REFRESH_MS,
});

export const errorsQuery = queryOptions({
  queryKey: ["errors"],
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/errors", { signal })),
  refetchInterval: REFRESH_MS,
});

export const feedbackQuery = (rating: "up" | "down") =>
  infiniteQueryOptions({
    queryKey: keys.feedback(rating),
    queryFn: ({ pageParam, signal }) =>
      take(api.GET("/api/v1/admin/feedback", { params: { query: { limit: PAGE, cursor: pageParam, rating } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const usersQuery = (q: string) =>
  infiniteQueryOptions({
    queryKey: keys.users(q),
    queryFn: ({ pageParam, signal }) =>
      take(
        api.GET("/api/v1/admin/users", {
          params: { query: { limit: PAGE, cursor: pageParam, q: q || undefined } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });

export interface UserPatch {
  id: string;
  is_active?: boolean;
  is_superuser?: boolean;
  is_verified?: boolean;
  password?: string;
  two_factor?: false;
}

export function usePatchUser() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: UserPatch) =>
      take(api.PATCH("/api/v1/admin/users/{user_id}", { params: { path: { user_id: id } }, body })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["users"] }),
  });
}

/** Do the same to several accounts. */
export function useBulkUsers() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { user_ids: string[]; action: BulkAction }) => take(api.POST("/api/v1/admin/users/bulk", { body })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["users"] }),
  });
}

export const userUsageQuery = (id: string) =>
  queryOptions({
    queryKey: keys.userUsage(id),
    queryFn: ({ signal }) =>
      take(api.GET("/api/v1/admin/users/{user_id}/usage", { params: { path: { user_id: id } }, signal })),
  });

export const invitationsQuery = queryOptions({
  queryKey: keys.invitations,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/invitations", { signal })),
});

export function useInvite() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: InvitationCreate) =>
      take(api.POST("/api/v1/admin/invitations", { body: { group_ids: [], uses: 1, ...body } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.invitations }),
  });
}

export function useWithdrawInvitation() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/admin/invitations/{invitation_id}", { params: { path: { invitation_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.invitations }),
  });
}

export const allLibrariesQuery = queryOptions({
  queryKey: keys.allLibraries,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/libraries", { signal })),
});

export function useTakeOver() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) =>
      take(api.POST("/api/v1/admin/libraries/{library_id}/take-over", { params: { path: { library_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.libraries }),
  });
}

export function useAnnounce() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: AnnouncementCreate) =>
      take(api.POST("/api/v1/admin/announcements", { body: { is_warning: false, ...body } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: keys.announcements }),
  });
}

export function useTakeBack() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/admin/announcements/{announcement_id}", { params: { path: { announcement_id: id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.announcements }),
  });
}

export const mcpServersQuery = queryOptions({
  queryKey: keys.mcpServers,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/mcp-servers", { signal })),
});

/** What is written of an MCP server; without an id a new one is added. */
export type McpServerInput = McpServerCreate & { id?: string };

export function useSaveMcpServer() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: McpServerInput) =>
      id
        ? take(api.PATCH("/api/v1/admin/mcp-servers/{server_id}", { params: { path: { server_id: id } }, body }))
        : take(api.POST("/api/v1/admin/mcp-servers", { body })),
    onSuccess: () => refreshTools(queries),
  });
}

export function useChangeMcpServer() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: McpServerPatch & { id: string }) =>
      take(api.PATCH("/api/v1/admin/mcp-servers/{server_id}", { params: { path: { server_id: id } }, body })),
    onSuccess: () => refreshTools(queries),
  });
}

export function useDeleteMcpServer() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/admin/mcp-servers/{server_id}", { params: { path: { server_id: id } } })),
    onSuccess: () => refreshTools(queries),
  });
}

const refreshTools = (queries: QueryClient) =>
  Promise.all([
    queries.invalidateQueries({ queryKey: keys.mcpServers }),
    queries.invalidateQueries({ queryKey: keys.tools }),
  ]);

export const budgetsQuery = queryOptions({
  queryKey: keys.budgets,
  queryFn: ({ signal }) => take(api.GET("/api/v1/admin/budgets", { signal })),
  refetchInterval: REFRESH_MS,
});

export function useSetBudget() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: BudgetSet) => take(api.PUT("/api/v1/admin/budgets", { body })),
    onSuccess: () => refreshBudgets(queries),
  });
}

export function useDeleteBudget() {
  const queries = useQueryClient();
  return useMutation({
    meta: { toast: true },
    mutationFn: (id: string) =>
      take(api.DELETE("/api/v1/admin/budgets/{budget_id}", { params: { path: { budget_id: id } } })),
    onSuccess: () => refreshBudgets(queries),
  });
}

const refreshBudgets = (queries: QueryClient) =>
  Promise.all([
    queries.invalidateQueries({ queryKey: keys.budgets }),
    queries.invalidateQueries({ queryKey: keys.budgetLeft }),
  ]);

type AuditQuery = NonNullable<operations["admin_list_audit"]["parameters"]["query"]>;
export type AuditAction = NonNullable<AuditQuery["action"]>;

/** What may be noted, in the order in which the filter lists it. */
export const ACTIONS = [
  "registered",
  "signed_in",
  "sign_in_failed",
  "signed_out",
  "session_ended",
  "refresh_token_reused",
  "password_changed",
  "password_reset",
  "account_changed",
  "account_deleted",
  "two_factor_on",
  "two_factor_off",
  "recovery_codes_renewed",
  "identity_added",
  "identity_removed",
  "user_changed",
  "user_deleted",
  "api_key_created",
  "api_key_revoked",
  "group_created",
  "group_changed",
  "group_deleted",
  "group_member_set",
  "group_member_removed",
  "library_created",
  "library_changed",
  "library_deleted",
  "library_member_set",
  "library_member_removed",
  "libraries_listed",
  "library_taken_over",
  "library_file_added",
  "library_file_removed",
  "share_created",
  "share_revoked",
  "share_read",
  "conversation_deleted",
  "conversation_exported",
  "conversations_imported",
  "file_deleted",
  "file_replaced",
  "call_decided",
  "mcp_server_created",
  "mcp_server_changed",
  "mcp_server_deleted",
  "announced",
  "announcement_removed",
  "invitation_created",
  "invitation_deleted",
  "usage_read",
  "budget_set",
  "budget_deleted",
  "model_rule_set",
  "model_rule_deleted",
  "model_price_set",
  "model_price_deleted",
  "retention_set",
  "retention_applied",
  "audit_pruned",
  "hold_placed",
  "hold_released",
  "keys_rotated",
  "user_erased",
  "erasure_previewed",
  "users_listed",
  "feedback_listed",
  "audit_listed",
] as const satisfies AuditAction[];

export interface AuditFilter {
  actor: string;
  action: AuditAction | "";
  from: string;
  to: string;
}

export const auditQuery = ({ actor, action, from, to }: AuditFilter) =>
  infiniteQueryOptions({
    queryKey: keys.audit(actor, action, from, to),
    queryFn: async ({ pageParam, signal }): Promise<Page<AuditEntry>> => {
      const page = await take(
        api.GET("/api/v1/admin/audit", {
          params: {
            query: {
              limit: PAGE,
              cursor: pageParam,
              actor: actor || undefined,
              action: action || undefined,
              from: from || undefined,
              to: to || undefined,
            },
          },
          signal,
        }),
      );
      if (typeof page === "string") throw new TypeError("NDJSON was not asked for");
      return page;
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
