import { useQuery } from "@tanstack/react-query";
import { Link, useLocation, useNavigate, useParams, useRouter, useSearch } from "@tanstack/react-router";
import { Suspense, useCallback, useEffect, useRef, useState } from "react";
import { AssistantPicture } from "@/features/assistants/AssistantPicture";
import { useSwitchBranch } from "@/features/chat/api";
import { ChatView, type ChatViewProps } from "@/features/chat/ChatView";
import { SideBySide } from "@/features/chat/SideBySide";
import { useLiveRuns } from "@/features/chat/live/context";
import type { LiveRun } from "@/features/chat/live/LiveRun";
import { Citation } from "@/features/citations/Citation";
import { beginningOf, type Place } from "@/features/citations/place";
import { Attachments, SentFile } from "@/features/files/Attachments";
import { filesQuery } from "@/features/files/api";
import { DropZone } from "@/features/files/DropZone";
import { ScopeMenu } from "@/features/files/ScopeMenu";
import { sendingOf, type Uploads } from "@/features/files/useUploads";
import { LibraryChoice } from "@/features/libraries/LibraryChoice";
import { ModelPicker, type ChosenModel } from "@/features/models/ModelPicker";
import { PromptMenu } from "@/features/prompts/PromptMenu";
import { ToolsMenu } from "@/features/tools/ToolsMenu";
import { lazyPart } from "@/shared/ui/lazyPart";
import { conversationQuery, useCreateConversation, usePatchConversation } from "@/shared/api/conversation";
import { ApiError } from "@/shared/api/errors";
import { isPicture } from "@/shared/api/pictures";
import type {
  Assistant,
  Attachment,
  Conversation,
  ConversationStart,
  Message,
  ReplayRequest,
  Source,
  StoredFile,
} from "@/shared/api/types";
import { useStored } from "@/shared/hooks/useStored";
import { useT } from "@/shared/i18n";
import { BudgetNotice } from "@/shared/stats/BudgetBars";
import { Button, IconButton } from "@/shared/ui/controls";
import { Icon } from "@/shared/ui/Icon";
import { useChatUploads } from "./ChatUploads";
import { NotFoundPage } from "./fallbacks";
import { PageHead } from "./PageHead";
import type { Beginning } from "./router";
import { NO_MODEL, requested, useBeginning, useChoices, useSetting, type ChatSetting, type Choices } from "./useChoices";
import { usePanelInHistory } from "./usePanelInHistory";

const DocumentPanel = lazyPart(async () => ({ default: (await import("@/features/citations/DocumentPanel")).DocumentPanel }));
const TracePanel = lazyPart(async () => ({ default: (await import("@/features/trace/TracePanel")).TracePanel }));
const AgainForm = lazyPart(async () => ({ default: (await import("@/features/trace/AgainForm")).AgainForm }));

type Side = { document: Place } | { answer: Message } | null;

/** A conversation, or the place where one begins; beside it a document or the reasons of an answer. */
export function ConversationScreen() {
  const { id } = useParams({ strict: false });
  const conversationId = id ?? null;
  const navigate = useNavigate();
  const beginning = useBeginning();
  const draft = useDraft(conversationId, beginning);
  const placeId = conversationId ?? draft.id;
  const { place, missing } = usePlace(placeId);
  // A draft is no conversation yet to those who see it.
  const conversation = conversationId ? place : null;
  const setting = useSetting(conversation, beginning);
  const [side, setSide] = useState<Side>(null);
  const closeSide = useCallback(() => setSide(null), []);
  const goBack = usePanelInHistory(side !== null, closeSide);
  const choices = useChoices(conversation, place, setting, beginning);
  const begin = useBegin(conversationId, draft, place, beginning, choices);
  const uploads = useChatUploads(placeId);
  const router = useRouter();
  const here = useLocation({ select: ({ href }) => href });
  const onFiles = useTakeFiles(place, placeId, choices.start, uploads.add, draft.keep);
  const title = useTitle(conversationId, conversation);
  useEffect(() => {
    setSide(null);
  }, [conversationId]);

  const showDocument = useCallback((document: Place) => setSide({ document }), []);
  const citation = useCallback(
    (source: Source, look: "number" | "name") => <Citation source={source} look={look} onOpen={showDocument} />,
    [showDocument],
  );
  const preview = useCallback((file: StoredFile) => showDocument(beginningOf(file)), [showDocument]);
  const attachment = useCallback(
    (file: Attachment, inConversation: string) => (
      <SentFile key={file.file_id} attachment={file} conversationId={inConversation} onPreview={preview} />
    ),
    [preview],
  );

  if (conversationId && missing) return <NotFoundPage />;
  return (
    <div className="conversation-screen">
      <div className="conversation-screen__main">
        <PageHead title={title}>
          <Setting setting={setting} conversation={conversation} />
          {!conversationId && <TemporaryButton />}
        </PageHead>
        <ChatView
          key={conversationId ?? `new ${JSON.stringify(beginning)}`}
          conversation={conversation}
          conversationId={conversationId}
          draftId={draft.id}
          begin={begin}
          firstModel={requested(choices.firstModel)}
          firstPrompt={choices.firstPrompt}
          onFirstPrompt={choices.setFirstPrompt}
          secondModel={choices.secondModel?.source ? requested(choices.secondModel) : null}
          onStarted={(started) => {
            draft.keep(null);
            choices.begun();
            // Who has gone elsewhere meanwhile is not taken away from there.
            if (router.latestLocation.href === here) void navigate({ to: "/c/$id", params: { id: started } });
          }}
          onExplain={(answer) => setSide({ answer })}
          onFiles={onFiles}
          sending={sendingOf(uploads, placeId)}
          panel={side !== null}
          citation={citation}
          attachment={attachment}
          attachments={
            <>
              <BudgetNotice />
              <Attachments conversationId={placeId} uploads={uploads} onPreview={preview} />
            </>
          }
          scope={(searches, onSearches) => (
            <ScopeMenu
              conversation={place}
              brought={choices.scope.brought}
              library={choices.scope.library}
              onLibrary={choices.scope.chooseLibrary}
              searches={searches}
              onSearches={onSearches}
              onPreview={preview}
              libraryCount={choices.scope.libraryIds.length}
              libraries={
                <LibraryChoice chosen={choices.scope.libraryIds} onChoose={choices.scope.chooseLibraries} />
              }
            />
          )}
          tools={<ToolsMenu chosen={choices.tools} onChoose={choices.chooseTools} able={choices.takesTools} />}
          firstTools={draft.id ? null : choices.newTools}
          modelPicker={<Models choices={choices} assistant={setting.assistant} />}
          modelMenu={modelMenu}
          welcome={setting.assistant && <AssistantWelcome assistant={setting.assistant} />}
          promptMenu={(text, onText, keys) => <PromptMenu text={text} onText={onText} keys={keys} />}
        />
      </div>
      <Suspense>
        <SidePanel side={side} onClose={goBack} />
      </Suspense>
      <DropZone onFiles={onFiles} />
    </div>
  );
}

/** What has to be done before a new chat's first question; null where the question says all that was chosen. */
function useBegin(
  conversationId: string | null,
  { id: draftId, keep }: Draft,
  place: Conversation | null,
  beginning: ConversationStart,
  { start, scope }: Choices,
): (() => Promise<string>) | null {
  const { mutateAsync: create } = useCreateConversation();
  const { mutateAsync: patch } = usePatchConversation();
  if (conversationId) return null;
  if (draftId) {
    const prompt = start.system_prompt ?? null;
    const known = !place || place.system_prompt === prompt;
    return known ? null : async () => (await patch({ id: draftId, system_prompt: prompt })).id;
  }
  const more = Object.keys({ ...beginning, ...scope.first }).length > 0;
  if (!more) return null;
  return async () => {
    const { id } = await create(start);
    // Where the question is refused, the next one is asked in the same place.
    keep(id);
    return id;
  };
}

/** What stands above the chat, and on the browser's tab. */
function useTitle(conversationId: string | null, conversation: Conversation | null): string {
  const t = useT();
  const title = conversation?.title || t(conversationId ? "conversations.untitled" : "conversations.new");
  useEffect(() => {
    document.title = `${title} · ${t("app.name")}`;
  }, [title, t]);
  return title;
}

/** Makes the chat that is about to begin a temporary one, or a usual one again. */
function TemporaryButton() {
  const t = useT();
  const navigate = useNavigate();
  const beginning: Beginning = useSearch({ strict: false });
  const { temporary = false, ...others } = beginning;
  return (
    <IconButton
      icon="clock"
      label={t(temporary ? "temporary.off" : "temporary.on")}
      aria-pressed={temporary}
      onClick={() => void navigate({ to: "/", search: temporary ? others : { ...others, temporary: true } })}
    />
  );
}

/** The choice of a model that answers again. */
const modelMenu: ChatViewProps["modelMenu"] = (onChoose) => <AgainWith onChoose={(model) => onChoose(requested(model))} />;

function AgainWith({ onChoose }: { onChoose: (model: ChosenModel) => void }) {
  const t = useT();
  const label = t("chat.regenerateWith");
  return (
    <ModelPicker
      chosen={NO_MODEL}
      wanted={label}
      onChoose={onChoose}
      trigger={
        <button type="button" className="icon-button icon-button--small" aria-label={label} title={label}>
          <Icon name="chevron" size={12} />
        </button>
      }
    />
  );
}

/** The model that answers, and the second one where two are asked. */
function Models({ choices, assistant }: { choices: Choices; assistant: Assistant | null }) {
  const t = useT();
  const { chosen, secondModel, chooseModel, chooseSecond } = choices;
  return (
    <>
      <ModelPicker chosen={chosen} standard={assistant?.model_name ?? null} onChoose={chooseModel} />
      {secondModel && <ModelPicker chosen={secondModel} wanted={t("compare.choose")} onChoose={chooseSecond} />}
      <IconButton
        icon="columns"
        className="second-model"
        label={t(secondModel ? "compare.one" : "compare.two")}
        aria-pressed={secondModel !== null}
        onClick={() => chooseSecond(secondModel ? null : NO_MODEL)}
      />
    </>
  );
}

function SidePanel({ side, onClose }: { side: Side; onClose: () => void }) {
  if (side === null) return null;
  if ("document" in side) return <DocumentPanel place={side.document} onClose={onClose} />;
  return <Reasons key={side.answer.id} answer={side.answer} onClose={onClose} />;
}

/** The reasons of an answer, with the way to ask for another one and to compare the two. */
function Reasons({ answer, onClose }: { answer: Message; onClose: () => void }) {
  const t = useT();
  const runs = useLiveRuns();
  const { mutate: show } = useSwitchBranch(answer.conversation_id);
  const [run, setRun] = useState<LiveRun | null>(null);
  const { conversation_id: conversationId, parent_id: after } = answer;
  const replay = (request: ReplayRequest) =>
    setRun(runs.replay({ conversationId, after: after ?? null, question: null, continues: null }, answer.id, request));
  return (
    <>
      <TracePanel
        answer={answer}
        onClose={onClose}
        again={
          <AgainForm
            answer={answer}
            picker={(chosen, onChoose) => <ModelPicker chosen={chosen} onChoose={onChoose} />}
            onReplay={replay}
          />
        }
      />
      {run && (
        <SideBySide
          answers={[answer, run]}
          titles={[t("trace.before"), t("trace.after")]}
          onKeep={show}
          onClose={() => setRun(null)}
        />
      )}
    </>
  );
}

/** Says with whom one chats, in which project, and whether it is for now only. */
function Setting({ setting, conversation }: { setting: ChatSetting; conversation: Conversation | null }) {
  const t = useT();
  const { mutate: patch } = usePatchConversation();
  const { assistant, project, temporary } = setting;
  return (
    <>
      {project && (
        <Link className="badge" to="/projects/$id" params={{ id: project.id }}>
          {project.name}
        </Link>
      )}
      {assistant && (
        <Link className="page-head__assistant" to="/assistants">
          <AssistantPicture assistant={assistant} small />
          <span>{assistant.name}</span>
        </Link>
      )}
      {temporary && <span className="badge badge--marker">{t("temporary.badge")}</span>}
      {temporary && conversation && (
        <Button onClick={() => patch({ id: conversation.id, temporary: false })}>{t("temporary.keep")}</Button>
      )}
    </>
  );
}

function AssistantWelcome({ assistant }: { assistant: Assistant }) {
  return (
    <div className="welcome welcome--assistant">
      <AssistantPicture assistant={assistant} />
      <h2>{assistant.name}</h2>
      {assistant.description && <p>{assistant.description}</p>}
    </div>
  );
}

function usePlace(id: string | null): { place: Conversation | null; missing: boolean } {
  const { data, error } = useQuery({ ...conversationQuery(id ?? ""), enabled: id !== null });
  return { place: id ? (data ?? null) : null, missing: isMissing(error) };
}

const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

interface Draft {
  id: string | null;
  keep: (id: string | null) => void;
}

/**
 * The conversation of the new chat's first files: it has no question yet, and this browser remembers it until it has.
 * Each kind of beginning has its own: a chat that is kept can't be made temporary, nor an assistant's another's.
 */
function useDraft(conversationId: string | null, beginning: ConversationStart): Draft {
  const kind = Object.values(beginning).join(" ");
  const [stored, store] = useStored(`draft-conversation${kind && `:${kind}`}`, "");
  const wanted = conversationId === null && stored !== "";
  const { data, error } = useQuery({ ...conversationQuery(stored), enabled: wanted });
  const spent = isMissing(error) || (data !== undefined && data.leaf_id !== null);
  const keep = useCallback((id: string | null) => store(id ?? ""), [store]);
  useEffect(() => {
    if (wanted && spent) keep(null);
  }, [wanted, spent, keep]);
  return { id: wanted && !spent ? stored : null, keep };
}

/**
 * Take files into a conversation; those that come before the first question begin one, all of them the same. From its
 * first file on a conversation searches its own files, until its owner says otherwise.
 */
function useTakeFiles(
  conversation: Conversation | null,
  placeId: string | null,
  start: ConversationStart,
  add: Uploads["add"],
  keepDraft: (id: string) => void,
): (files: File[]) => void {
  const { mutateAsync: create } = useCreateConversation();
  const { mutate: patch } = usePatchConversation();
  const { data: known } = useQuery({ ...filesQuery(placeId), enabled: placeId !== null });
  const creating = useRef<Promise<Conversation> | null>(null);
  const isFirst = placeId !== null && known?.length === 0;
  // Once it is there it takes the next files; for a chat that begins otherwise another one is begun.
  useEffect(() => {
    creating.current = null;
  }, [placeId, keepDraft]);

  return useCallback(
    (files) => {
      if (files.length === 0) return;
      // Pictures are looked at, not searched: they change nothing of what is.
      const pictures = files.every((file) => isPicture({ mime: file.type }));
      if (placeId) {
        if (isFirst && !pictures && conversation?.search_library) patch({ id: placeId, search_library: false });
        return add(files, placeId);
      }
      // Files of one drop go into one conversation, however late their turn comes.
      let mine: Promise<Conversation> | null = null;
      const begin = async () => {
        mine ??= creating.current ??= create({ search_library: pictures, ...start });
        try {
          return await mine;
        } catch (error) {
          mine = creating.current = null;
          throw error;
        }
      };
      add(files, null, { conversation: begin, keep: keepDraft });
    },
    [add, conversation, create, isFirst, keepDraft, patch, placeId, start],
  );
}
