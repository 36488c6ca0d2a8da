import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState, type ReactNode, type Ref } from "react";
import { keys } from "@/shared/api/keys";
import { isPicture } from "@/shared/api/pictures";
import type { Attachment, ChatRequest, Conversation, Message, Source, StoredFile } from "@/shared/api/types";
import { useEscape } from "@/shared/hooks/useEscape";
import { readStored, useStored, writeStored } from "@/shared/hooks/useStored";
import { useT } from "@/shared/i18n";
import { IconButton, Spinner } from "@/shared/ui/controls";
import { useFilePicker } from "@/shared/ui/useFilePicker";
import { ErrorNotice, useErrorText } from "@/shared/ui/ErrorNotice";
import { useToast } from "@/shared/ui/Toasts";
import { useFeedback, messagesQuery, useSwitchBranch } from "./api";
import { SideBySide } from "./SideBySide";
import { Composer, type FieldKeys } from "./composer/Composer";
import { SettingsButton } from "./composer/SettingsButton";
import { Welcome } from "./Welcome";
import { forgetSent, giveBack, giveBackSent, joined, keepSent, keptAs, moveKept, takeUpSent } from "./kept";
import { useLiveRuns, usePair, useRunsOf } from "./live/context";
import type { Asked, LiveRun } from "./live/LiveRun";
import { useParameters, withSearch } from "./parameters";
import { ActionsContext, type Editing, type MessageActions } from "./thread/actions";
import { AssistantMessage } from "./thread/AssistantMessage";
import { LiveRegion } from "./thread/LiveRegion";
import { rowsOf, type Row } from "./thread/rows";
import { Thread } from "./thread/Thread";
import { UserMessage } from "./thread/UserMessage";
import "./chat.css";

export interface ChatViewProps {
  conversation: Conversation | null;
  conversationId: string | null;
  /** A conversation that has its first files and no question yet: the new chat's. */
  draftId: string | null;
  /** Makes the conversation ready for its first question, where that needs more than the question says; null elsewhere. */
  begin: (() => Promise<string>) | null;
  /** The model and the system prompt chosen for a conversation that has no question yet. */
  firstModel: Pick<ChatRequest, "model_source" | "model_name">;
  firstPrompt: string;
  onFirstPrompt: (prompt: string) => void;
  /** The model that answers each question beside the first, null for none. */
  secondModel: Pick<ChatRequest, "model_source" | "model_name"> | null;
  onStarted: (conversationId: string) => void;
  onExplain: (answer: Message) => void;
  onFiles: (files: File[]) => void;
  /** Whether files of the next question are on their way; `failed` where none is, and one was lost. */
  sending: "no" | "yes" | "failed";
  citation: (source: Source, look: "number" | "name") => ReactNode;
  attachment: (attachment: Attachment, conversationId: string) => ReactNode;
  attachments: ReactNode;
  /** Draws what says and changes what a question searches. */
  scope: (searches: boolean, onSearches: (searches: boolean) => void) => ReactNode;
  /** Draws which tools the model may call, and the names of those that a new chat begins with, null for the default. */
  tools: ReactNode;
  firstTools: string[] | null;
  modelPicker: ReactNode;
  /** Draws the choice of a model that answers again. */
  modelMenu: MessageActions["modelMenu"];
  /** Draws what an empty conversation shows, null for the usual welcome. */
  welcome: ReactNode;
  /** Draws saved prompts above the message's field, while that calls for them. */
  promptMenu: (text: string, onText: (text: string) => void, keys: Ref<FieldKeys>) => ReactNode;
  /** Whether something is open beside the chat, or about to be. */
  panel: boolean;
}

const NO_MESSAGES: Message[] = [];

/** One conversation: its thread, and the composer below. */
export function ChatView(props: ChatViewProps) {
  const { conversation, onFiles } = props;
  const t = useT();
  // A new chat is the conversation that it has become, also before its address says so.
  const [started, setStarted] = useState<string | null>(null);
  const conversationId = props.conversationId ?? started;
  const query = useQuery({ ...messagesQuery(conversationId ?? ""), enabled: conversationId !== null });
  const branch = query.data ?? NO_MESSAGES;
  const runs = useRunsOf(conversationId);
  useJoin(branch);
  const rows = rowsOf(branch, runs);
  const going = runs.filter((run) => run.now.phase !== "over");
  const current = going[0] ?? null;

  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useFilePicker(onFiles);
  const [draft, setDraft] = useStored(keptAs("draft", conversationId), "");
  const [parameters, setParameters] = useParameters(conversationId);
  const menuKeys = useRef<FieldKeys>(null);
  const { actions, ask, refused } = useChat({ ...props, conversationId }, setStarted, branch, current !== null, parameters);
  useTakeUpSent(conversationId, query.data);
  useFocusOnOpen(field);
  const stop = useStop(going);
  useEscape(current !== null && !props.panel, stop, { otherwise: true });

  function send(text: string) {
    setDraft("");
    ask(text);
  }
  const queue = useQueue(conversationId, current, query.data, send);

  function editLast() {
    const last = branch.findLast((message) => message.role === "user");
    if (last && !actions.busy) actions.setEditing({ id: last.id, text: last.content });
  }

  return (
    <ActionsContext value={actions}>
      <div className="chat">
        {/* A new chat becomes a conversation while it is answered: it is there that this is told. */}
        <LiveRegion run={props.conversationId === null ? null : current} />
        <Talk
          loading={query.isLoading}
          rows={rows}
          held={actions.editing}
          empty={
            query.error ? (
              <div className="page-message" />
            ) : (
              (props.welcome ?? (
                <Welcome
                  onPick={(text) => {
                    setDraft(text);
                    field.current?.focus();
                  }}
                />
              ))
            )
          }
        />
        <div className="chat__foot">
          {query.error && <ErrorNotice error={query.error} />}
          {refused !== null && <ErrorNotice error={refused} />}
          {props.promptMenu(draft, setDraft, menuKeys)}
          <Composer
            field={field}
            keys={menuKeys}
            text={draft}
            onText={setDraft}
            running={current !== null}
            sending={props.sending}
            onSend={() => send(draft.trim())}
            onQueue={() => {
              queue.add(draft.trim());
              setDraft("");
            }}
            onStop={stop}
            onEditLast={editLast}
            onFiles={onFiles}
            attachments={
              <>
                {queue.text !== "" && <Queued text={queue.text} onRemove={queue.takeBack} />}
                {props.attachments}
              </>
            }
            tools={
              <>
                <IconButton icon="clip" label={t("chat.attach")} onClick={picker.pick} />
                {picker.field}
                {props.scope(parameters.use_rag ?? true, (searches) => setParameters(withSearch(parameters, searches)))}
                {props.tools}
                <SettingsButton
                  conversation={conversation}
                  firstPrompt={props.firstPrompt}
                  onFirstPrompt={props.onFirstPrompt}
                  parameters={parameters}
                  onParameters={setParameters}
                />
                <span className="composer__space" />
                {props.modelPicker}
              </>
            }
          />
        </div>
      </div>
      <Pair conversationId={conversationId} onKeep={actions.show} />
    </ActionsContext>
  );
}

/** The messages, or what stands in their place. */
function Talk({ loading, rows, held, empty }: { loading: boolean; rows: Row[]; held: Editing | null; empty: ReactNode }) {
  const t = useT();
  if (loading)
    return (
      <div className="page-message">
        <Spinner label={t("app.loading")} />
      </div>
    );
  return rows.length > 0 ? <Thread rows={rows} held={held?.id ?? null} renderRow={renderRow} /> : empty;
}

/** The answers of two models to one question, where two are asked. */
function Pair({ conversationId, onKeep }: { conversationId: string | null; onKeep: (messageId: string) => void }) {
  const t = useT();
  const store = useLiveRuns();
  const pair = usePair(conversationId);
  if (!pair) return null;
  return (
    <SideBySide
      answers={pair}
      titles={[t("compare.first"), t("compare.second")]}
      onKeep={onKeep}
      onClose={() => store.showPair(null)}
    />
  );
}

const renderRow = (row: Row): ReactNode =>
  row.message.role === "user" ? <UserMessage message={row.message} /> : <AssistantMessage row={row} />;

/** A message that waits for the answer before it. */
function Queued({ text, onRemove }: { text: string; onRemove: () => void }) {
  const t = useT();
  return (
    <p className="queued" role="status">
      <span className="queued__text">
        {t("chat.queued")}: {text}
      </span>
      <IconButton small icon="close" label={t("chat.unqueue")} onClick={onRemove} />
    </p>
  );
}

interface Queue {
  text: string;
  add: (text: string) => void;
  takeBack: () => void;
}

/**
 * Keep a message until the answer before it is complete. Where that breaks off, or ends while somebody looks at another
 * chat, the message goes back to the field.
 */
function useQueue(
  conversationId: string | null,
  current: LiveRun | null,
  branch: Message[] | undefined,
  send: (text: string) => void,
): Queue {
  const settled = conversationId === null || (branch !== undefined && branch.at(-1)?.status !== "streaming");
  const name = keptAs("draft:queued", conversationId);
  const [text, setText] = useStored(name, "");
  const last = useRef<LiveRun | null>(null);
  const sending = useRef(send);
  useEffect(() => {
    sending.current = send;
  });
  const takeBack = useCallback(() => {
    // Another tab may have sent it.
    const waiting = readStored(name);
    writeStored(name, "");
    if (waiting !== "") giveBack(conversationId, waiting);
  }, [conversationId, name]);
  useEffect(() => {
    if (current) last.current = current;
    if (current || text === "" || !settled) return;
    // It goes on, under the name that the new chat has just got.
    if (last.current && last.current.now.phase !== "over") return;
    if (last.current?.now.ending !== "complete") return takeBack();
    const waiting = readStored(name);
    setText("");
    if (waiting !== "") sending.current(waiting);
  }, [current, name, settled, setText, takeBack, text]);
  return { text, add: (more) => setText(joined(text, more)), takeBack };
}

/** Take up the runs that the server says are going on and that this page does not show yet. */
function useJoin(branch: Message[]): void {
  const store = useLiveRuns();
  useEffect(() => {
    for (const message of branch) if (message.status === "streaming" && message.run_id) store.join(message);
  }, [branch, store]);
}

/** Give back the question that this page was sending when it was closed, if it has not arrived. */
function useTakeUpSent(conversationId: string | null, branch: Message[] | undefined): void {
  const known = conversationId === null || branch !== undefined;
  const last = branch?.findLast(({ role }) => role === "user")?.content ?? null;
  useEffect(() => {
    if (known) takeUpSent(conversationId, last);
  }, [conversationId, known, last]);
}

/** Stop what is going on, and say so where that fails. */
function useStop(going: LiveRun[]): () => void {
  const store = useLiveRuns();
  const toast = useToast();
  const say = useErrorText();
  return () => {
    for (const run of going) store.cancel(run).catch((error: unknown) => toast({ text: say(error) }));
  };
}

/** Tells whether a view is still in the page, to what comes later. */
function useIsShown(): () => boolean {
  const shown = useRef(false);
  useEffect(() => {
    shown.current = true;
    return () => {
      shown.current = false;
    };
  }, []);
  return () => shown.current;
}

/** Put the cursor into the composer, where there is a keyboard and nobody is typing somewhere else. */
function useFocusOnOpen(field: React.RefObject<HTMLTextAreaElement | null>): void {
  useEffect(() => {
    const typing = document.activeElement?.matches("input, textarea") ?? false;
    if (!typing && matchMedia("(hover: hover)").matches) field.current?.focus();
  }, [field]);
}

/** The pictures among the files that the next question comes with. */
function picturesOf(queries: QueryClient, placeId: string | null): string[] {
  const files = placeId ? (queries.getQueryData<StoredFile[]>(keys.fileList(placeId, true)) ?? []) : [];
  return files.filter((file) => isPicture(file) && file.status !== "failed").map(({ id }) => id);
}

/** Everything that asks for an answer: a new question, an edited one, the same one again, the rest of an answer. */
function useChat(
  props: ChatViewProps,
  onId: (conversationId: string) => void,
  branch: Message[],
  busy: boolean,
  parameters: Partial<ChatRequest>,
): { actions: MessageActions; ask: (text: string) => void; refused: unknown } {
  const { conversationId, draftId, begin, firstModel, firstPrompt, secondModel, firstTools, onStarted } = props;
  const store = useLiveRuns();
  const queries = useQueryClient();
  const { mutate: show } = useSwitchBranch(conversationId ?? "");
  const { mutate: rate } = useFeedback(conversationId ?? "");
  const [refused, setRefused] = useState<unknown>(null);
  const [editing, setEditing] = useState<Editing | null>(null);
  const isShown = useIsShown();
  const toast = useToast();
  const say = useErrorText();

  /** Nothing was asked: say why, also to who has gone to another chat, and give back what was written. */
  function refuse(error: unknown, question: string | null, edited: Message | null = null) {
    setRefused(error);
    if (!isShown() && error !== null) toast({ text: say(error) });
    if (question === null) return;
    if (!edited || !isShown()) return giveBackSent(conversationId, question);
    forgetSent(conversationId);
    setEditing({ id: edited.id, text: question });
  }

  function start(
    asked: Partial<Asked>,
    request: Partial<ChatRequest>,
    place = conversationId ?? draftId,
    edited: Message | null = null,
  ) {
    setRefused(null);
    const full: Asked = { conversationId, after: null, question: null, continues: null, ...asked };
    if (full.question !== null) keepSent(conversationId, full.question);
    const run = store.ask(
      full,
      { message: full.question ?? "", ...parameters, conversation_id: place, ...request },
      {
        onStart: ({ conversation_id: id, user_message_id: question }) => {
          if (full.question !== null) forgetSent(conversationId);
          if (full.question !== null && secondModel) store.showPair([run, askSecond(id, question)]);
          if (conversationId !== null) return;
          moveKept(id);
          onId(id);
          onStarted(id);
        },
        onRefused: (error) => refuse(error, full.question, edited),
      },
    );
  }

  /** Let the second model answer the same question. */
  function askSecond(id: string, question: string): LiveRun {
    const asked: Asked = { conversationId: id, after: question, question: null, continues: null };
    return store.ask(asked, {
      message: "",
      ...parameters,
      ...secondModel,
      conversation_id: id,
      parent_message_id: question,
      regenerate: true,
    });
  }

  /** What only the first question says: later ones are asked as the conversation has kept it. */
  function first(): Partial<ChatRequest> {
    if (conversationId !== null) return {};
    return {
      ...firstModel,
      ...(firstTools ? { tools: firstTools } : {}),
      ...(firstPrompt.trim() ? { system_prompt: firstPrompt.trim() } : {}),
    };
  }

  const questionOf = (answer: Message): string =>
    branch.find((message) => message.id === answer.parent_id)?.content ?? "";

  return {
    refused,
    ask: (text) => {
      const last = branch.at(-1)?.id ?? null;
      const images = picturesOf(queries, conversationId ?? draftId);
      const asked = { question: text, after: last, images };
      const request = { ...first(), parent_message_id: last, at_end: true, ...(images.length > 0 ? { image_file_ids: images } : {}) };
      if (conversationId !== null || !begin) return start(asked, request);
      keepSent(conversationId, text);
      begin().then(
        (id) => start(asked, request, id),
        (error: unknown) => refuse(error, text),
      );
    },
    actions: {
      busy,
      editing,
      setEditing,
      citation: props.citation,
      attachment: props.attachment,
      explain: props.onExplain,
      show: (id) => show(id),
      rate: (answer, feedback) => rate({ id: answer.id, feedback }),
      edit: (message, text) =>
        start(
          { question: text, after: message.parent_id ?? null, images: message.image_file_ids },
          { edit_of: message.id },
          conversationId,
          message,
        ),
      regenerate: (answer, model) =>
        start(
          { after: answer.parent_id ?? null },
          { message: questionOf(answer), parent_message_id: answer.parent_id, regenerate: true, ...model },
        ),
      modelMenu: props.modelMenu,
      continueAnswer: (answer) =>
        start({ continues: answer, after: answer.parent_id ?? null }, { continue_message_id: answer.id }),
    },
  };
}
