import { useCallback, useState, type ReactNode } from "react";
import type { ConversationAction } from "@/features/conversations/ConversationItem";
import { MoveDialog } from "@/features/projects/MoveDialog";
import { ShareDialog } from "@/features/sharing/ShareDialog";
import type { Conversation } from "@/shared/api/types";

/** What is done with a conversation of a list in a dialog. */
export function useConversationActions(): { act: ConversationAction; dialog: ReactNode } {
  const [open, setOpen] = useState<{ conversation: Conversation; action: "move" | "share" } | null>(null);
  const act = useCallback<ConversationAction>((conversation, action) => setOpen({ conversation, action }), []);
  const close = () => setOpen(null);
  if (!open) return { act, dialog: null };
  const Dialog = open.action === "move" ? MoveDialog : ShareDialog;
  return { act, dialog: <Dialog conversation={open.conversation} onClose={close} /> };
}
