import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { ChatView } from "@/features/chat/ChatView";
import { Compare } from "@/features/chat/Compare";
import { useLiveRuns } from "@/features/chat/live/context";
import type { LiveRun } from "@/features/chat/live/LiveRun";
import { Citation } from "@/features/citations/Citation";
import { beginningOf, type Place } from "@/features/citations/place";
import { Attachments, SentFile } from "@/features/files/Attachments";
import { filesQuery } from "@/features/files/api";
import { DropZone } from "@/features/files/DropZone";
import { ScopeMenu } from "@/features/files/ScopeMenu";
import { useUploads } from "@/features/files/useUploads";
import { ModelPicker, type ChosenModel } from "@/features/models/ModelPicker";
import { useTakesTools } from "@/features/models/api";
import { ToolsMenu } from "@/features/tools/ToolsMenu";
import { conversationQuery, useCreateConversation, usePatchConversation } from "@/shared/api/conversation";
import { ApiError } from "@/shared/api/errors";
import { isPicture } from "@/shared/api/pictures";
import { sourceOf } from "@/shared/api/sources";
import type { Attachment, Conversation, Message, ReplayRequest, Source, StoredFile } from "@/shared/api/types";
import { useStored } from "@/shared/hooks/useStored";
import { useT } from "@/shared/i18n";
import { useErrorText } from "@/shared/ui/ErrorNotice";
import { useToast } from "@/shared/ui/Toasts";
import { NotFoundPage } from "./fallbacks";
import { PageHead } from "./PageHead";
import { usePanelInHistory } from "./usePanelInHistory";

const DocumentPanel = lazy(async () => ({ default: (await import("@/features/citations/DocumentPanel")).DocumentPanel }));
const TracePanel = lazy(async () => ({ default: (await import("@/features/trace/TracePanel")).TracePanel }));
const AgainForm = lazy(async () => ({ default: (await import("@/features/trace/AgainForm")).AgainForm }));

type Side = { document: Place } | { answer: Message } | null;

/** A conversation, or the place where one begins; beside it a document or the reasons of an answer. */
export function ConversationScreen() {
  const { id } = useParams({ strict: false });
  const conversationId = id ?? null;
  const t = useT();
  const navigate = useNavigate();
  const draft = useDraft(conversationId);
  const placeId = conversationId ?? draft.id;
  const { place, missing } = usePlace(placeId);
  // A draft is no conversation yet to those who see it.
  const conversation = conversationId ? place : null;
  const [side, setSide] = useState<Side>(null);
  const closeSide = useCallback(() => setSide(null), []);
  const goBack = usePanelInHistory(side !== null, closeSide);
  const [firstTools, setFirstTools] = useFirstTools();
  const [firstModel, setFirstModel] = useState<ChosenModel>({ source: null, name: null });
  const patch = usePatchConversation();
  const uploads = useUploads();
  const open = useCallback((to: string) => navigate({ to: "/c/$id", params: { id: to } }), [navigate]);
  const onFiles = useTakeFiles(place, placeId, firstModel, firstTools, uploads.add, draft.keep);
  const title = conversation?.title || t(conversationId ? "conversations.untitled" : "conversations.new");
  const chosen = conversation ? modelOf(conversation) : firstModel;
  const takesTools = useTakesTools(chosen);

  useEffect(() => {
    document.title = `${title} · ${t("app.name")}`;
  }, [title, t]);
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

  function choose({ source, name }: ChosenModel) {
    if (placeId) patch.mutate({ id: placeId, model_source: source, model_name: name });
    if (!conversationId) setFirstModel({ source, name });
  }

  if (conversationId && missing) return <NotFoundPage />;
  return (
    <div className="conversation-screen">
      <div className="conversation-screen__main">
        <PageHead title={title} />
        <ChatView
          key={conversationId ?? "new"}
          conversation={conversation}
          conversationId={conversationId}
          draftId={draft.id}
          firstModel={{ model_source: firstModel.source, model_name: firstModel.name }}
          onStarted={(started) => {
            draft.keep(null);
            void open(started);
          }}
          onExplain={(answer) => setSide({ answer })}
          onFiles={onFiles}
          panel={side !== null}
          citation={citation}
          attachment={attachment}
          attachments={<Attachments conversationId={placeId} uploads={uploads} onPreview={preview} />}
          scope={(searches, onSearches) => (
            <ScopeMenu conversation={place} searches={searches} onSearches={onSearches} onPreview={preview} />
          )}
          tools={
            <ToolsMenu
              chosen={place ? (place.tools ?? null) : firstTools}
              onChoose={(tools) => {
                if (placeId) patch.mutate({ id: placeId, tools });
                if (!conversationId) setFirstTools(tools);
              }}
              able={takesTools}
            />
          }
          firstTools={draft.id ? null : firstTools}
          modelPicker={<ModelPicker chosen={chosen} onChoose={choose} />}
        />
      </div>
      <Suspense>
        <SidePanel side={side} onClose={goBack} />
      </Suspense>
      <DropZone onFiles={onFiles} />
    </div>
  );
}

function SidePanel({ side, onClose }: { side: Side; onClose: () => void }) {
  if (side === null) return null;
  if ("document" in side) return <DocumentPanel place={side.document} onClose={onClose} />;
  return <Reasons key={side.answer.id} answer={side.answer} onClose={onClose} />;
}

/** The reasons of an answer, with the way to ask for another one and to compare the two. */
function Reasons({ answer, onClose }: { answer: Message; onClose: () => void }) {
  const runs = useLiveRuns();
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
      {run && <Compare answer={answer} run={run} onClose={() => setRun(null)} />}
    </>
  );
}

/** The tools that new chats begin with: those that were chosen last, kept in this browser. */
function useFirstTools(): [string[] | null, (names: string[]) => void] {
  const [stored, store] = useStored("tools:new", "");
  const names = useMemo(() => (stored === "" ? null : stored === NO_TOOLS ? [] : stored.split(" ")), [stored]);
  return [names, (next) => store(next.length > 0 ? next.join(" ") : NO_TOOLS)];
}

const NO_TOOLS = "-";

const modelOf = ({ model_source, model_name }: Conversation): ChosenModel => ({
  source: sourceOf(model_source),
  name: model_name,
});

function usePlace(id: string | null): { place: Conversation | null; missing: boolean } {
  const { data, error } = useQuery({ ...conversationQuery(id ?? ""), enabled: id !== null });
  return { place: id ? (data ?? null) : null, missing: isMissing(error) };
}

const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

interface Draft {
  id: string | null;
  keep: (id: string | null) => void;
}

/** The conversation of the new chat's first files: it has no question yet, and this browser remembers it until it has. */
function useDraft(conversationId: string | null): Draft {
  const [stored, store] = useStored("draft-conversation", "");
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
  model: ChosenModel,
  tools: string[] | null,
  add: (files: File[], conversationId: string) => void,
  keepDraft: (id: string) => void,
): (files: File[]) => void {
  const { mutateAsync: create } = useCreateConversation();
  const { mutate: patch } = usePatchConversation();
  const { data: known } = useQuery({ ...filesQuery(placeId), enabled: placeId !== null });
  const creating = useRef<Promise<Conversation> | null>(null);
  const toast = useToast();
  const say = useErrorText();
  const isFirst = placeId !== null && known?.length === 0;
  useEffect(() => {
    if (placeId) creating.current = null;
  }, [placeId]);

  return useCallback(
    (files) => {
      if (files.length === 0) return;
      // Pictures are looked at, not searched: they change nothing of what is.
      const pictures = files.every((file) => isPicture({ mime: file.type }));
      if (placeId) {
        if (isFirst && !pictures && conversation?.search_library) patch({ id: placeId, search_library: false });
        return add(files, placeId);
      }
      const chosen = { model_source: model.source, model_name: model.name, ...(tools ? { tools } : {}) };
      const body = { ...chosen, search_library: pictures };
      creating.current ??= create(body);
      creating.current.then(
        ({ id }) => {
          keepDraft(id);
          add(files, id);
        },
        (error: unknown) => {
          creating.current = null;
          toast({ text: say(error) });
        },
      );
    },
    [add, conversation, create, isFirst, keepDraft, model, patch, placeId, say, toast, tools],
  );
}
