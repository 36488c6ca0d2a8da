/** The query cache's keys, in one place so that one feature can say that another's data is stale. */
export const keys = {
  me: ["me"] as const,
  conversations: ["conversations"] as const,
  conversationList: (q: string, archived: boolean) => ["conversations", "list", q, archived] as const,
  conversation: (id: string) => ["conversations", "one", id] as const,
  messages: (conversationId: string) => ["messages", conversationId] as const,
  files: ["files"] as const,
  fileLists: ["files", "list"] as const,
  fileList: (conversationId: string | null, unasked = false) => ["files", "list", conversationId, unasked] as const,
  fileText: (id: string) => ["files", "text", id] as const,
  models: ["models"] as const,
  trace: (messageId: string) => ["trace", messageId] as const,
  sessions: ["sessions"] as const,
  stats: (scope: "user" | "system") => ["stats", scope] as const,
  users: (q: string) => ["users", q] as const,
  graph: ["studio", "graph"] as const,
  checkpoints: (conversationId: string) => ["studio", "checkpoints", conversationId] as const,
};
