import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { assistantsQuery } from "@/features/assistants/api";
import { librariesQuery } from "@/features/libraries/api";
import { useTakesTools } from "@/features/models/api";
import type { ChosenModel } from "@/features/models/ModelPicker";
import { projectsQuery } from "@/features/projects/api";
import { usePatchConversation } from "@/shared/api/conversation";
import { sourceOf } from "@/shared/api/sources";
import type { Assistant, ChatRequest, Conversation, ConversationStart, Project } from "@/shared/api/types";
import { useStored } from "@/shared/hooks/useStored";
import type { Beginning } from "./router";

/** What a new chat's address says of its beginning, as the conversation keeps it. */
export function useBeginning(): ConversationStart {
  const search: Beginning = useSearch({ strict: false });
  const { project, assistant, temporary } = search;
  return useMemo(
    () => ({
      ...(project ? { project_id: project } : {}),
      ...(assistant ? { assistant_id: assistant } : {}),
      ...(temporary ? { temporary } : {}),
    }),
    [project, assistant, temporary],
  );
}

export interface ChatSetting {
  assistant: Assistant | null;
  project: Project | null;
  temporary: boolean;
}

/** The assistant and the project of a conversation, or of the one that is about to begin, and whether it is temporary. */
export function useSetting(conversation: Conversation | null, beginning: ConversationStart): ChatSetting {
  const { assistant_id: assistantId = null, project_id: projectId = null, temporary = false } = conversation ?? beginning;
  const { data: assistants = [] } = useQuery({ ...assistantsQuery, enabled: assistantId !== null });
  const { data: projects = [] } = useQuery({ ...projectsQuery, enabled: projectId !== null });
  return {
    assistant: assistants.find(({ id }) => id === assistantId) ?? null,
    project: projects.find(({ id }) => id === projectId) ?? null,
    temporary,
  };
}

/** A state that belongs to one beginning: what was chosen for one assistant's chat is no choice for another's. */
function useStateOf<Value>(beginning: ConversationStart, initial: Value): [Value, (value: Value) => void] {
  const [state, setState] = useState({ beginning, value: initial });
  const value = state.beginning === beginning ? state.value : initial;
  return [value, (next) => setState({ beginning, value: next })];
}

interface Scope {
  /** How many files project and assistant bring, and whether all of one's files are searched, too. */
  brought: number;
  library: boolean;
  chooseLibrary: (library: boolean) => void;
  /** The shared libraries that are searched. */
  libraryIds: string[];
  chooseLibraries: (libraryIds: string[]) => void;
  /** What was chosen for a conversation that does not exist yet. */
  first: FirstScope;
  forgetFirst: () => void;
}

type FirstScope = Pick<ConversationStart, "search_library" | "library_ids">;

/**
 * The shared libraries that questions search, of those that one sees. Where none are chosen, the server takes one's
 * default ones, and those that a project or an assistant brings.
 */
function useLibraries(chosen: string[] | null | undefined, { assistant, project }: ChatSetting): string[] {
  const { data: libraries = [] } = useQuery(librariesQuery);
  const brought = [project, assistant].flatMap((each) => each?.library_ids ?? []);
  return libraries
    .filter(({ id, is_default: isDefault }) => (chosen ? chosen.includes(id) : isDefault || brought.includes(id)))
    .map(({ id }) => id);
}

/** What questions search: the conversation's choice, or the one that a new chat begins with. */
function useScope(place: Conversation | null, setting: ChatSetting, beginning: ConversationStart): Scope {
  const { assistant, project } = setting;
  const { mutate: patch } = usePatchConversation();
  const [first, setFirst] = useStateOf<FirstScope>(beginning, NOTHING);
  const set = (part: FirstScope) => {
    if (place) patch({ id: place.id, ...part });
    else setFirst({ ...first, ...part });
  };
  const brought = new Set([...(project?.file_ids ?? []), ...(assistant?.file_ids ?? [])]).size;
  return {
    brought,
    first,
    forgetFirst: () => setFirst(NOTHING),
    // Where a project or an assistant brings files, the server searches those alone unless it is told otherwise.
    library: place?.search_library ?? first.search_library ?? brought === 0,
    chooseLibrary: (library) => set({ search_library: library }),
    libraryIds: useLibraries(place ? place.library_ids : first.library_ids, setting),
    chooseLibraries: (library_ids) => set({ library_ids }),
  };
}

export interface Choices {
  scope: Scope;
  chosen: ChosenModel;
  firstModel: ChosenModel;
  secondModel: ChosenModel | null;
  chooseModel: (model: ChosenModel) => void;
  chooseSecond: (model: ChosenModel | null) => void;
  tools: string[] | null;
  /** The tools that a new chat begins with, null for the default. */
  newTools: string[] | null;
  chooseTools: (names: string[]) => void;
  takesTools: boolean;
  /** The system prompt of a conversation that has no question yet. */
  firstPrompt: string;
  setFirstPrompt: (prompt: string) => void;
  /** The new chat has begun: what was chosen for it alone is no choice for the next one. */
  begun: () => void;
  /** How a conversation that begins now is made. */
  start: ConversationStart;
}

/** Models and tools: the conversation's, or those that a new one begins with. `place` is a new chat's draft, too. */
export function useChoices(
  conversation: Conversation | null,
  place: Conversation | null,
  setting: ChatSetting,
  beginning: ConversationStart,
): Choices {
  const { assistant } = setting;
  const scope = useScope(place, setting, beginning);
  const { first } = scope;
  const { mutate: patch } = usePatchConversation();
  const [firstTools, setFirstTools] = useFirstTools();
  const [ownTools, setOwnTools] = useStateOf<string[] | null>(beginning, null);
  const [firstModel, setFirstModel] = useStateOf<ChosenModel>(beginning, NO_MODEL);
  const [ownPrompt, setFirstPrompt] = useStateOf<string | null>(beginning, null);
  const firstPrompt = ownPrompt ?? place?.system_prompt ?? "";
  const [secondModel, chooseSecond] = useState<ChosenModel | null>(null);
  const chosen = conversation ? modelOf(conversation) : firstModel;
  const takesTools = useTakesTools(chosen.source || !assistant ? chosen : modelOf(assistant));
  // An assistant's tools stand, unless others are chosen here.
  const newTools = ownTools ?? (assistant ? null : firstTools);
  const start = useMemo(
    () => ({
      ...beginning,
      ...requested(firstModel),
      ...(newTools ? { tools: newTools } : {}),
      ...(firstPrompt.trim() ? { system_prompt: firstPrompt.trim() } : {}),
      ...first,
    }),
    [beginning, first, firstModel, firstPrompt, newTools],
  );
  return {
    scope,
    chosen,
    firstModel,
    secondModel,
    chooseSecond,
    newTools,
    takesTools,
    firstPrompt,
    setFirstPrompt,
    begun: () => {
      setFirstPrompt(null);
      scope.forgetFirst();
    },
    start,
    tools: (place ? place.tools : newTools) ?? assistant?.tools ?? null,
    chooseModel: ({ source, name }) => {
      if (place) patch({ id: place.id, model_source: source, model_name: name });
      if (!conversation) setFirstModel({ source, name });
    },
    chooseTools: (names) => {
      if (place) patch({ id: place.id, tools: names });
      if (conversation) return;
      setOwnTools(names);
      if (!assistant) setFirstTools(names);
    },
  };
}

/** The tools that new chats begin with: those that were chosen last, kept in this browser. */
function useFirstTools(): [string[] | null, (names: string[]) => void] {
  const [stored, store] = useStored("tools:new", "");
  const names = useMemo(() => (stored === "" ? null : stored === NO_TOOLS ? [] : stored.split(" ")), [stored]);
  return [names, (next) => store(next.length > 0 ? next.join(" ") : NO_TOOLS)];
}

const NO_TOOLS = "-";
const NOTHING = {};
export const NO_MODEL: ChosenModel = { source: null, name: null };

const modelOf = ({ model_source, model_name }: Pick<Conversation, "model_source" | "model_name">): ChosenModel => ({
  source: sourceOf(model_source),
  name: model_name,
});

export const requested = ({ source, name }: ChosenModel): Pick<ChatRequest, "model_source" | "model_name"> =>
  source ? { model_source: source, model_name: name } : {};
