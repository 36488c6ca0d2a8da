import type { QueryClient } from "@tanstack/react-query";
import { newKey, send } from "@/shared/api/client";
import { ApiError, readError } from "@/shared/api/errors";
import { keys } from "@/shared/api/keys";
import type { ChatRequest, Message, ReplayRequest, StoredFile } from "@/shared/api/types";
import type { RunEvent } from "./events";
import { follow, type FollowOptions } from "./follow";
import { finished, opened } from "./branch";
import { LiveRun, type Asked } from "./LiveRun";

const CHANNEL = "llama-service.runs";
/** How often a question is sent before it is given back: in about a minute, longer than a server takes to restart. */
const OPENINGS = 10;

interface Hooks {
  /** Hears of the run's beginning: by then its question is kept. */
  onStart?: (event: RunEvent & { type: "start" }) => void;
  /** Hears that nothing was asked: of the error that came first, or of null where it was stopped. */
  onRefused?: (error: unknown) => void;
}

/** All runs that this page is showing, and what they do to the query cache when they begin and end. */
export class LiveRuns {
  private runs: readonly LiveRun[] = [];
  private pair: readonly LiveRun[] | null = null;
  private readonly listeners = new Set<() => void>();
  private readonly channel = new BroadcastChannel(CHANNEL);
  private readonly queries: QueryClient;

  constructor(queries: QueryClient) {
    this.queries = queries;
    // Another tab has begun or ended a run: what this one shows of that conversation is stale.
    this.channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") void this.refresh(data);
    };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): readonly LiveRun[] => this.runs;

  /** Ask. */
  ask(asked: Asked, request: ChatRequest, hooks: Hooks = {}): LiveRun {
    return this.open(asked, "/api/v1/chat/stream", request, hooks);
  }

  /** The two runs that answer one question side by side, until somebody closes them. */
  readonly pairOf = (): readonly LiveRun[] | null => this.pair;

  readonly showPair = (runs: readonly LiveRun[] | null): void => {
    this.pair = runs;
    this.tell();
  };

  /** Answer a message's question again under other settings. */
  replay(asked: Asked, messageId: string, request: ReplayRequest): LiveRun {
    return this.open(asked, `/api/v1/messages/${messageId}/replay`, request, {});
  }

  /** Take up a run that is going on: after a reload, or one that another tab has started. */
  join(message: Message): void {
    if (!message.run_id || this.runs.some((run) => run.now.messageId === message.id)) return;
    const asked: Asked = { conversationId: message.conversation_id, after: message.parent_id ?? null, question: null, continues: null };
    const run = new LiveRun(asked, {
      phase: message.content ? "writing" : "searching",
      messageId: message.id,
      text: message.content,
      runId: message.run_id,
      modelSource: message.model_source,
      modelName: message.model_name ?? null,
      sources: message.sources ?? [],
      steps: message.steps ?? [],
    });
    this.add(run);
    void this.pump(run, { runId: message.run_id }, {});
  }

  /**
   * Stop a run; what has been said stays.
   *
   * The server stops what it knows by name: where it has not told the name yet, it is waited for. A question that does
   * not get through is given up.
   */
  async cancel(run: LiveRun): Promise<void> {
    const runId = await run.named();
    if (runId === null) return run.abort.abort();
    const answer = await send(`/api/v1/chat/runs/${runId}/cancel`, { method: "POST" });
    if (!answer.ok) throw await readError(answer);
  }

  private open(
    asked: Asked,
    path: string,
    body: object,
    hooks: Hooks,
  ): LiveRun {
    const run = new LiveRun(asked);
    this.add(run);
    const key = newKey();
    const open = (signal: AbortSignal): Promise<Response> =>
      send(path, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "text/event-stream", "Idempotency-Key": key },
        body: JSON.stringify(body),
        signal,
      });
    // What is said of an answer that goes on is no new message, which a key would name.
    void this.pump(run, { open, openings: asked.continues ? 1 : OPENINGS }, hooks);
    return run;
  }

  private async pump(
    run: LiveRun,
    from: Pick<FollowOptions, "open" | "openings" | "runId">,
    hooks: Hooks,
  ): Promise<void> {
    const { signal } = run.abort;
    try {
      const events = follow({ ...from, signal, onConnection: (connected) => run.change({ connected }) });
      for await (const event of events) {
        run.take(event);
        if (event.type === "start" && from.open) await this.began(run, event, hooks.onStart);
        if (event.type === "done") this.ended(run, event);
      }
    } catch (error) {
      if (!run.now.runId) hooks.onRefused?.(signal.aborted ? null : error);
      // Another answer is being written there: it is shown.
      if (error instanceof ApiError && error.status === 409 && run.asked.conversationId)
        void this.queries.invalidateQueries({ queryKey: keys.messages(run.asked.conversationId) });
      run.change({ phase: "over", error: error instanceof ApiError ? error : null });
    } finally {
      await this.settle(run);
    }
  }

  private async began(
    run: LiveRun,
    event: RunEvent & { type: "start" },
    onStart: Hooks["onStart"],
  ): Promise<void> {
    const id = event.conversation_id;
    // A read that was on its way before the run began would take its question out of the branch again.
    await this.queries.cancelQueries({ queryKey: keys.messages(id) });
    const files = this.queries.getQueryData<StoredFile[]>(keys.fileList(id, true)) ?? [];
    const attachments = files.map(({ id: file_id, name }) => ({ file_id, name }));
    this.queries.setQueryData<Message[]>(keys.messages(id), (branch) => opened(branch ?? [], run.asked, event, attachments));
    this.channel.postMessage(id);
    this.runs = [...this.runs];
    this.tell();
    onStart?.(event);
    void this.queries.invalidateQueries({ queryKey: keys.conversations });
    // It was asked behind what this page has not seen yet.
    if (run.asked.question !== null && (event.parent_message_id ?? null) !== run.asked.after)
      void this.queries.invalidateQueries({ queryKey: keys.messages(id) });
    // What waited for a question in the composer now stands on it.
    void this.queries.invalidateQueries({ queryKey: keys.fileLists });
  }

  private ended(run: LiveRun, event: RunEvent & { type: "done" }): void {
    const { conversationId, text, reasoning } = run.now;
    if (!conversationId) return;
    this.queries.setQueryData<Message[]>(keys.messages(conversationId), (branch) =>
      branch && finished(branch, event, text, reasoning),
    );
  }

  /** Show what the server has recorded, and only then let go of the live text. */
  private async settle(run: LiveRun): Promise<void> {
    const { conversationId } = run.now;
    if (conversationId) {
      this.channel.postMessage(conversationId);
      await this.refresh(conversationId);
    }
    this.runs = this.runs.filter((other) => other !== run);
    this.tell();
  }

  private async refresh(conversationId: string): Promise<void> {
    void this.queries.invalidateQueries({ queryKey: keys.budgetLeft });
    await Promise.all([
      this.queries.invalidateQueries({ queryKey: keys.messages(conversationId) }),
      this.queries.invalidateQueries({ queryKey: keys.conversations }),
    ]);
  }

  private add(run: LiveRun): void {
    this.runs = [...this.runs, run];
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}
