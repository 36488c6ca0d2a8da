import type { components } from "./schema";

type Schemas = components["schemas"];

export type User = Schemas["UserRead"];
export type Session = Schemas["SessionRead"];
/** The client reads tuples as plain arrays, so the pairs of `highlights` are said here. */
export type Conversation = Omit<Schemas["ConversationRead"], "highlights"> & { highlights?: number[][] | null };
export type ConversationPatch = Partial<Schemas["ConversationChange"]>;
export type ConversationStart = Partial<Schemas["ConversationCreate"]>;
export type Assistant = Schemas["AssistantRead"];
export type AssistantPatch = Partial<Schemas["AssistantChange"]>;
export type Project = Schemas["ProjectRead"];
export type ProjectPatch = Partial<Schemas["ProjectChange"]>;
export type SavedPrompt = Schemas["PromptRead"];
export type SavedPromptPatch = Partial<Schemas["PromptChange"]>;
export type FeedbackReason = Schemas["Feedback"]["reasons"] extends (infer Reason)[] | undefined ? Reason : never;
export type FeedbackGiven = Schemas["Feedback"];
export type FeedbackEntry = Schemas["FeedbackEntry"];
export type DefaultModel = Schemas["DefaultModelRead"];
export type Message = Schemas["MessageRead"];
export type Rating = Schemas["Feedback"]["rating"];
export type Attachment = Schemas["AttachmentRead"];
export type Source = Schemas["SourceRead"];
export type Step = Schemas["StepRead"];
export type Decision = Schemas["Decision"];
export type Tool = Schemas["ToolRead"];
export type Library = Schemas["LibraryRead"];
export type LibraryPatch = Schemas["LibraryChange"];
export type LibraryMember = Schemas["LibraryMemberRead"];
export type LibraryMemberSet = Partial<Schemas["LibraryMemberSet"]>;
export type Group = Schemas["GroupRead"];
export type GroupCreate = Schemas["GroupCreate"];
export type GroupMember = Schemas["GroupMemberRead"];
export type BudgetLeft = Schemas["BudgetLeft"];
export type Budget = Schemas["BudgetRead"];
export type BudgetSet = Schemas["BudgetSet"];
export type AuditEntry = Schemas["AuditRead"];
export type Invitation = Schemas["InvitationRead"];
export type InvitationCreated = Schemas["InvitationCreated"];
export type InvitationCreate = Partial<Schemas["InvitationCreate"]>;
export type BulkAction = Schemas["BulkAction"]["action"];
export type AnyLibrary = Schemas["AnyLibraryRead"];
export type Announcement = Schemas["AnnouncementRead"];
export type AnnouncementCreate = Partial<Schemas["AnnouncementCreate"]> & { text: string };
export type McpServerCreate = Schemas["McpServerCreate"];
export type McpServerPatch = Partial<Schemas["McpServerChange"]>;
export type McpServer = Schemas["McpServerRead"];
export type Usage = Schemas["UsageRead"];
export type StoredFile = Schemas["FileRead"];
export type UploadedFile = Schemas["UploadRead"];
export type Namesake = Schemas["NamesakeRead"];
export type FileText = Schemas["FileText"];
export type ChatRequest = Partial<Schemas["ChatRequest"]>;
export type ReplayRequest = Schemas["Replay"];
export type ModelList = Schemas["ModelListRead"];
export type ModelSource = ModelList["mode"];
export type ModelStatus = Schemas["StatusList"];
export type Trace = Schemas["TraceRead"];
export type Graph = Schemas["GraphRead"];
export type Checkpoint = Schemas["CheckpointRead"];
export type Imported = Schemas["Imported"];
export type UserStats = Schemas["UserStats"];
export type SystemStats = Schemas["SystemStats"];

export interface Page<Item> {
  items: Item[];
  next_cursor?: string | null;
}
