import { ApiError } from "@/shared/api/errors";
import type { Message, Source, Step } from "@/shared/api/types";
import type { RunEvent } from "./events";

/** Tokens that come within this time are shown together: faster than the eye, far cheaper than one by one. */
const SHOW_EVERY_MS = 60;

export type Phase = "sending" | "searching" | "thinking" | "acting" | "waiting" | "writing" | "over";

/** How a run ended; null while it goes on, or where it was refused. */
export type Ending = "complete" | "stopped" | "failed" | null;

export interface LiveState {
  phase: Phase;
  connected: boolean;
  text: string;
  /** What the model thinks, apart from what it answers, and how long it has, in milliseconds, once it is done. */
  reasoning: string;
  thoughtMs: number | null;
  sources: Source[];
  /** The tools that the model has called, in its order. */
  steps: Step[];
  /** Files that were still being read when the run looked for passages. */
  pending: number;
  runId: string | null;
  messageId: string | null;
  userMessageId: string | null;
  conversationId: string | null;
  modelSource: string | null;
  modelName: string | null;
  fallbackFrom: string | null;
  error: ApiError | null;
  ending: Ending;
}

/** What the user asked for, so that it can be shown before the server has named it. */
export interface Asked {
  conversationId: string | null;
  /** The message that the new one follows; the rest of the shown branch gives way to it. */
  after: string | null;
  /** The new question, or null where an answer is written again. */
  question: string | null;
  /** The answer that is being continued, if one is. */
  continues: Message | null;
  /** Ids of the pictures that the question shows. */
  images?: string[];
}

/**
 * The text of a run that was taken up in the middle: `recorded` is what the server had of the message, `replayed` what
 * the run's events have told from its beginning. An answer that is being continued has text from before the run, so
 * the events repeat only a tail of what was recorded.
 */
export function joinedText(recorded: string, replayed: string): string {
  for (let from = 0; from < recorded.length; from += 1) {
    const tail = recorded.length - from;
    if (replayed.length <= tail ? recorded.startsWith(replayed, from) : replayed.startsWith(recorded.slice(from)))
      return replayed.length <= tail ? recorded : recorded.slice(0, from) + replayed;
  }
  return recorded + replayed;
}

/** The steps with one of them as it stands now; a new one comes last. */
export function withStep(steps: Step[], step: Step): Step[] {
  const known = steps.some(({ id }) => id === step.id);
  return known ? steps.map((other) => (other.id === step.id ? step : other)) : [...steps, step];
}

/** One run as the page sees it while it lasts: a small store that tells its listeners at a bounded rate. */
export class LiveRun {
  readonly asked: Asked;
  readonly abort = new AbortController();
  private state: LiveState;
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | null = null;
  private shown: LiveState;
  /** What had been said when the page took the run up, and what its events have said since. */
  private readonly before: string;
  private readonly joined: boolean;
  private said = "";
  private thinkingSince: number | null = null;

  constructor(asked: Asked, known: Partial<LiveState> = {}) {
    this.asked = asked;
    this.joined = known.text !== undefined;
    this.before = known.text ?? asked.continues?.content ?? "";
    this.state = {
      phase: "sending",
      connected: true,
      text: this.before,
      reasoning: asked.continues?.reasoning ?? "",
      thoughtMs: null,
      sources: asked.continues?.sources ?? [],
      steps: asked.continues?.steps ?? [],
      pending: 0,
      runId: null,
      messageId: asked.continues?.id ?? null,
      userMessageId: null,
      conversationId: asked.conversationId,
      modelSource: null,
      modelName: null,
      fallbackFrom: null,
      error: null,
      ending: null,
      ...known,
    };
    this.shown = this.state;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): LiveState => this.shown;

  /** The newest state, whether it has been shown yet or not. */
  get now(): LiveState {
    return this.state;
  }

  /** Its id, as soon as the server has told it; null where the connection is lost before, or the run is over. */
  named(): Promise<string | null> {
    return new Promise((resolve) => {
      const look = () => {
        const { runId, phase, connected } = this.state;
        if (runId === null && connected && phase !== "over") return;
        this.listeners.delete(look);
        resolve(runId);
      };
      this.listeners.add(look);
      look();
    });
  }

  take(event: RunEvent): void {
    switch (event.type) {
      case "start":
        return this.change({
          phase: "searching",
          runId: event.run_id,
          messageId: event.message_id,
          userMessageId: event.user_message_id,
          conversationId: event.conversation_id,
          modelSource: event.model_source,
          modelName: event.model_name,
          fallbackFrom: event.fallback_from ?? null,
        });
      case "sources":
        return this.change({ sources: event.sources, pending: event.pending?.length ?? 0 });
      case "reasoning":
        this.thinkingSince ??= performance.now();
        this.state = { ...this.state, phase: "thinking", reasoning: this.state.reasoning + event.content };
        return this.showSoon();
      case "chunk":
        this.said += event.content;
        this.state = {
          ...this.state,
          phase: "writing",
          thoughtMs: this.state.thoughtMs ?? (this.thinkingSince && performance.now() - this.thinkingSince),
          text: this.joined ? joinedText(this.before, this.said) : this.before + this.said,
        };
        return this.showSoon();
      case "step":
        return this.change({ phase: "acting", steps: withStep(this.state.steps, event.step) });
      case "action":
        return this.change({ phase: "waiting" });
      case "resumed":
        return this.change({ phase: this.state.text ? "writing" : "searching" });
      case "done":
        return this.change({
          phase: "over",
          sources: event.sources ?? this.state.sources,
          ending: event.finish_reason === "stopped" ? "stopped" : "complete",
        });
      case "error": {
        const { code, message, request_id } = event.error;
        return this.change({ phase: "over", error: new ApiError(500, code, message, request_id), ending: "failed" });
      }
    }
  }

  change(part: Partial<LiveState>): void {
    this.state = { ...this.state, ...part };
    this.show();
  }

  private showSoon(): void {
    this.timer ??= setTimeout(() => this.show(), SHOW_EVERY_MS);
  }

  private show(): void {
    if (this.timer) clearTimeout(this.timer);
    this.timer = null;
    this.shown = this.state;
    for (const listener of this.listeners) listener();
  }
}
