import { createContext, useContext, type ReactNode } from "react";
import type { Attachment, ChatRequest, FeedbackGiven, Message, Source } from "@/shared/api/types";

/** The question that is being edited, and the text that its editor begins with. */
export interface Editing {
  id: string;
  text: string;
}

/** What can be done with a message; given by the view, so that rows stay the same objects while it changes. */
export interface MessageActions {
  busy: boolean;
  edit: (message: Message, text: string) => void;
  /** Answer again, by another model where one is given. */
  regenerate: (answer: Message, model?: Pick<ChatRequest, "model_source" | "model_name">) => void;
  /** Draws the choice of a model that answers again. */
  modelMenu: (onChoose: (model: Pick<ChatRequest, "model_source" | "model_name">) => void) => ReactNode;
  continueAnswer: (answer: Message) => void;
  show: (messageId: string) => void;
  /** Keep an opinion of an answer, or take it back for null. */
  rate: (answer: Message, feedback: FeedbackGiven | null) => void;
  explain: (answer: Message) => void;
  editing: Editing | null;
  setEditing: (editing: Editing | null) => void;
  /** Draws the button of a source: as a number in the text, or by its name in the list below. */
  citation: (source: Source, look: "number" | "name") => ReactNode;
  /** Draws a file that a question came with. */
  attachment: (attachment: Attachment, conversationId: string) => ReactNode;
}

export const ActionsContext = createContext<MessageActions | null>(null);

export function useActions(): MessageActions {
  const actions = useContext(ActionsContext);
  if (!actions) throw new Error("useActions needs an ActionsContext above it");
  return actions;
}
