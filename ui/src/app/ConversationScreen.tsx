import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { ChatView } from "@/features/chat/ChatView";
import { Compare } from "@/features/chat/Compare";
import { useLiveRuns } from "@/features/chat/live/context";
import type { LiveRun } from "@/features/chat/live/LiveRun";
import { Citation } from "@/features/citations/Citation";
import type { Place } from "@/features/citations/place";
import { Attachments } from "@/features/files/Attachments";
import { DropZone } from "@/features/files/DropZone";
import { useUploads } from "@/features/files/useUploads";
import { ModelPicker, type ChosenModel } from "@/features/models/ModelPicker";
import { conversationQuery, useCreateConversation, usePatchConversation } from "@/shared/api/conversation";
import { ApiError } from "@/shared/api/errors";
import { sourceOf } from "@/shared/api/sources";
import type { Conversation, Message, ReplayRequest, Source, StoredFile } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { NotFoundPage } from "./fallbacks";
import { PageHead } from "./PageHead";

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
  const query = useQuery({ ...conversationQuery(conversationId ?? ""), enabled: conversationId !== null });
  const conversation = conversationId ? (query.data ?? null) : null;
  const [side, setSide] = useState<Side>(null);
  const [firstModel, setFirstModel] = useState<ChosenModel>({ source: null, name: null });
  const patch = usePatchConversation();
  const uploads = useUploads();
  const open = useCallback((to: string) => navigate({ to: "/c/$id", params: { id: to } }), [navigate]);
  const onFiles = useTakeFiles(conversationId, firstModel, uploads.add, open);
  const title = conversation?.title || t(conversationId ? "conversations.untitled" : "conversations.new");
  const chosen = conversation ? modelOf(conversation) : firstModel;

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

  function choose({ source, name }: ChosenModel) {
    if (conversationId) patch.mutate({ id: conversationId, model_source: source, model_name: name });
    else setFirstModel({ source, name });
  }

  if (query.error instanceof ApiError && query.error.status === 404) return <NotFoundPage />;
  return (
    <div className="conversation-screen">
      <div className="conversation-screen__main">
        <PageHead title={title} />
        <ChatView
          key={conversationId ?? "new"}
          conversation={conversation}
          conversationId={conversationId}
          firstModel={{ model_source: firstModel.source, model_name: firstModel.name }}
          onStarted={(started) => void open(started)}
          onExplain={(answer) => setSide({ answer })}
          onFiles={onFiles}
          panel={side !== null}
          citation={citation}
          attachments={
            <Attachments
              conversationId={conversationId}
              uploads={uploads}
              onPreview={(file) => showDocument(beginningOf(file))}
            />
          }
          modelPicker={<ModelPicker chosen={chosen} onChoose={choose} />}
        />
      </div>
      <Suspense>
        <SidePanel side={side} onClose={() => setSide(null)} />
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

const modelOf = ({ model_source, model_name }: Conversation): ChosenModel => ({
  source: sourceOf(model_source),
  name: model_name,
});

const beginningOf = (file: StoredFile): Place => ({
  fileId: file.id,
  fileName: file.name,
  page: null,
  start: 0,
  end: 0,
  snippet: "",
});

/** Files belong to a conversation; those that come before the first question begin one. */
function useTakeFiles(
  conversationId: string | null,
  model: ChosenModel,
  add: (files: File[], conversationId: string) => void,
  open: (id: string) => Promise<void>,
): (files: File[]) => void {
  const { mutate: create } = useCreateConversation();
  const body = useMemo(() => ({ model_source: model.source, model_name: model.name }), [model]);
  return useCallback(
    (files) => {
      if (files.length === 0) return;
      if (conversationId) return add(files, conversationId);
      create(body, {
        onSuccess: ({ id }) => {
          add(files, id);
          void open(id);
        },
      });
    },
    [add, body, conversationId, create, open],
  );
}
