import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { keys } from "@/shared/api/keys";
import { isPicture } from "@/shared/api/pictures";
import type { Attachment, ChatRequest, Conversation, Message, Source, StoredFile } from "@/shared/api/types";
import { useEscape } from "@/shared/hooks/useEscape";
import { useStored } from "@/shared/hooks/useStored";
import { useT } from "@/shared/i18n";
import { IconButton, Spinner } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { useFeedback, messagesQuery, useSwitchBranch } from "./api";
import { Composer } from "./composer/Composer";
import { SettingsButton } from "./composer/SettingsButton";
import { Welcome } from "./Welcome";
import { useLiveRuns, useRunsOf } from "./live/context";
import type { Asked, LiveRun } from "./live/LiveRun";
import { useParameters, withSearch } from "./parameters";
import { ActionsContext, type MessageActions } from "./thread/actions";
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
  /** The model chosen for a conversation that does not exist yet. */
  firstModel: Pick<ChatRequest, "model_source" | "model_name">;
  onStarted: (conversationId: string) => void;
  onExplain: (answer: Message) => void;
  onFiles: (files: File[]) => void;
  citation: (source: Source, look: "number" | "name") => ReactNode;
  attachment: (attachment: Attachment, conversationId: string) => ReactNode;
  attachments: ReactNode;
  /** Draws what says and changes what a question searches. */
  scope: (searches: boolean, onSearches: (searches: boolean) => void) => ReactNode;
  /** Draws which tools the model may call, and the names of those that a new chat begins with, null for the default. */
  tools: ReactNode;
  firstTools: string[] | null;
  modelPicker: ReactNode;
  /** Whether something is open beside the chat. */
  panel: boolean;
}

const NO_MESSAGES: Message[] = [];

/** One conversation: its thread, and the composer below. */
export function ChatView(props: ChatViewProps) {
  const { conversationId, conversation, onFiles } = props;
  const t = useT();
  const query = useQuery({ ...messagesQuery(conversationId ?? ""), enabled: conversationId !== null });
  const branch = query.data ?? NO_MESSAGES;
  const runs = useRunsOf(conversationId);
  useJoin(branch);
  const rows = rowsOf(branch, runs);
  const current = runs.find((run) => run.now.phase !== "over") ?? null;
  const store = useLiveRuns();

  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [draft, setDraft] = useStored(`draft:${conversationId ?? "new"}`, "");
  const [parameters, setParameters] = useParameters(conversationId);
  const { actions, ask, refused } = useChat(props, branch, current !== null, parameters, setDraft);
  useFocusOnOpen(field);
  const stop = () => current && void store.cancel(current);
  // Escape closes what lies beside the chat first.
  useEscape(current !== null && !props.panel, stop);

  function send(text: string) {
    setDraft("");
    ask(text);
  }
  const queue = useQueue(current, send, (text) => setDraft(draft === "" ? text : `${text}\n\n${draft}`));

  function editLast() {
    const last = branch.findLast((message) => message.role === "user");
    if (last && !actions.busy) actions.setEditing(last.id);
  }

  return (
    <ActionsContext value={actions}>
      <div className="chat">
        {/* A new chat becomes a conversation while it is answered: it is there that this is told. */}
        <LiveRegion run={conversationId === null ? null : current} />
        {query.isLoading ? (
          <div className="page-message">
            <Spinner label={t("app.loading")} />
          </div>
        ) : rows.length > 0 ? (
          <Thread rows={rows} renderRow={renderRow} />
        ) : (
          <Welcome onPick={(text) => {
            setDraft(text);
            field.current?.focus();
          }} />
        )}
        <div className="chat__foot">
          {query.error && <ErrorNotice error={query.error} />}
          {refused !== null && <ErrorNotice error={refused} />}
          <Composer
            field={field}
            text={draft}
            onText={setDraft}
            running={current !== null}
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
                {queue.text !== null && <Queued text={queue.text} onRemove={queue.takeBack} />}
                {props.attachments}
              </>
            }
            tools={
              <>
                <IconButton icon="clip" label={t("chat.attach")} onClick={() => picker.current?.click()} />
                <input
                  ref={picker}
                  type="file"
                  multiple
                  hidden
                  tabIndex={-1}
                  onChange={(event) => {
                    onFiles([...(event.target.files ?? [])]);
                    event.target.value = "";
                  }}
                />
                {props.scope(parameters.use_rag ?? true, (searches) => setParameters(withSearch(parameters, searches)))}
                {props.tools}
                <SettingsButton conversation={conversation} parameters={parameters} onParameters={setParameters} />
                <span className="composer__space" />
                {props.modelPicker}
              </>
            }
          />
        </div>
      </div>
    </ActionsContext>
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
  text: string | null;
  add: (text: string) => void;
  takeBack: () => void;
}

/** Keep a message until the answer before it is complete; where that breaks off, it goes back to the field. */
function useQueue(current: LiveRun | null, send: (text: string) => void, giveBack: (text: string) => void): Queue {
  const [text, setText] = useState<string | null>(null);
  const last = useRef<LiveRun | null>(null);
  const hands = useRef({ send, giveBack });
  useEffect(() => {
    hands.current = { send, giveBack };
  });
  useEffect(() => {
    if (current) last.current = current;
    if (current || text === null) return;
    setText(null);
    if (last.current?.now.ending === "complete") hands.current.send(text);
    else hands.current.giveBack(text);
  }, [current, text]);
  return {
    text,
    add: (more) => setText((before) => (before === null ? more : `${before}\n\n${more}`)),
    takeBack: () => {
      if (text !== null) giveBack(text);
      setText(null);
    },
  };
}

/** Take up the runs that the server says are going on and that this page does not show yet. */
function useJoin(branch: Message[]): void {
  const store = useLiveRuns();
  useEffect(() => {
    for (const message of branch) if (message.status === "streaming" && message.run_id) store.join(message);
  }, [branch, store]);
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
  { conversationId, draftId, firstModel, firstTools, onStarted, onExplain, citation, attachment }: ChatViewProps,
  branch: Message[],
  busy: boolean,
  parameters: Partial<ChatRequest>,
  setDraft: (text: string) => void,
): { actions: MessageActions; ask: (text: string) => void; refused: unknown } {
  const store = useLiveRuns();
  const queries = useQueryClient();
  const { mutate: show } = useSwitchBranch(conversationId ?? "");
  const { mutate: rate } = useFeedback(conversationId ?? "");
  const [refused, setRefused] = useState<unknown>(null);
  const [editing, setEditing] = useState<string | null>(null);

  function start(asked: Partial<Asked>, request: Partial<ChatRequest>) {
    setRefused(null);
    const full: Asked = { conversationId, after: null, question: null, continues: null, ...asked };
    store.ask(
      full,
      { message: full.question ?? "", ...parameters, conversation_id: conversationId ?? draftId, ...request },
      {
        onStart: (id) => conversationId === null && onStarted(id),
        onRefused: (error) => {
          setRefused(error);
          if (full.question !== null) setDraft(full.question);
        },
      },
    );
  }

  const questionOf = (answer: Message): string =>
    branch.find((message) => message.id === answer.parent_id)?.content ?? "";

  return {
    refused,
    ask: (text) => {
      const last = branch.at(-1)?.id ?? null;
      const first = conversationId === null ? { ...firstModel, ...(firstTools ? { tools: firstTools } : {}) } : {};
      const images = picturesOf(queries, conversationId ?? draftId);
      start(
        { question: text, after: last, images },
        { ...first, parent_message_id: last, ...(images.length > 0 ? { image_file_ids: images } : {}) },
      );
    },
    actions: {
      busy,
      editing,
      setEditing,
      citation,
      attachment,
      explain: onExplain,
      show: (id) => show(id),
      rate: (answer, rating) => rate({ id: answer.id, rating }),
      edit: (message, text) =>
        start(
          { question: text, after: message.parent_id ?? null },
          message.parent_id
            ? { parent_message_id: message.parent_id }
            : { parent_message_id: null, edit_of: message.id },
        ),
      regenerate: (answer) =>
        start(
          { after: answer.parent_id ?? null },
          { message: questionOf(answer), parent_message_id: answer.parent_id, regenerate: true },
        ),
      continueAnswer: (answer) =>
        start({ continues: answer, after: answer.parent_id ?? null }, { continue_message_id: answer.id }),
    },
  };
}
