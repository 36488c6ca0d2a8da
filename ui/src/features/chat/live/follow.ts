import { send } from "@/shared/api/client";
import { ApiError, isUnreachable, readError } from "@/shared/api/errors";
import { readEvents } from "@/shared/api/sse";
import type { RunEvent } from "./events";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export interface FollowOptions {
  /** Opens the run, or finds the one that it has opened before; absent where it is followed from `runId`. */
  open?: (signal: AbortSignal) => Promise<Response>;
  /** How often `open` is called while it is not known what became of it; once by default. */
  openings?: number;
  runId?: string;
  signal: AbortSignal;
  /** Called when the connection is lost, and again when events flow once more. */
  onConnection: (connected: boolean) => void;
}

/**
 * Yield a run's events, each once and in order, over as many connections as it takes.
 *
 * The server numbers the events; after a lost connection the rest is asked for by `Last-Event-ID`, or the run is opened
 * once more, where it is not known whether the server has begun it. Ends after `done` or `error`. Throws ApiError where
 * the server refuses, or can't be reached for a minute before the run has a name.
 */
export async function* follow({ open, openings, runId, signal, onConnection }: FollowOptions): AsyncGenerator<RunEvent> {
  let lastId = 0;
  let failures = 0;
  for (;;) {
    try {
      for await (const { id, event } of connection(runId ? resume(runId, lastId, signal) : open?.(signal))) {
        if (id <= lastId) continue;
        if (failures > 0) onConnection(true);
        failures = 0;
        lastId = id;
        if (event.type === "start") runId = event.run_id;
        yield event;
        if (isLast(event)) return;
      }
      if (!runId) throw new ApiError(0, "network", "The answer's stream ended before it began.");
    } catch (failure) {
      const mayPass = runId ? worthTrying(failure) : worthSending(failure, openings, failures);
      if (signal.aborted || !mayPass) throw failure;
    }
    onConnection(false);
    await pause(failures++, signal);
  }
}

const isLast = ({ type }: RunEvent): boolean => type === "done" || type === "error";

/** The numbered events of one connection. Throws ApiError where the server refuses it. */
async function* connection(opened: Promise<Response> | undefined): AsyncGenerator<{ id: number; event: RunEvent }> {
  const response = await opened;
  if (!response?.body) throw new Error("A run is followed by its id, or opened.");
  if (!response.ok) throw await readError(response);
  for await (const { id, data } of readEvents(response.body)) {
    if (id !== null) yield { id, event: JSON.parse(data) as RunEvent };
  }
}

/** What the network did may pass, and so may a server that restarts; what the server refuses stays refused. */
function worthTrying(failure: unknown): boolean {
  if (failure instanceof ApiError) return failure.status === 0 || failure.status >= 500 || failure.status === 429;
  return failure instanceof TypeError; // a body that breaks off
}

/** Whether a question is sent again: nobody has said what became of it. */
const worthSending = (failure: unknown, openings = 1, failures = 0): boolean =>
  failures + 1 < openings && (isUnreachable(failure) || failure instanceof TypeError);

const resume = (runId: string, lastId: number, signal: AbortSignal): Promise<Response> =>
  send(`/api/v1/chat/runs/${runId}/stream`, {
    headers: { Accept: "text/event-stream", ...(lastId > 0 ? { "Last-Event-ID": String(lastId) } : {}) },
    signal,
  });

/** Wait longer after each failure, but no longer than until the browser says that it is online again. */
function pause(failures: number, signal: AbortSignal): Promise<void> {
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures);
  return new Promise((resolve, reject) => {
    const end = (finish: () => void) => () => {
      clearTimeout(timer);
      removeEventListener("online", online);
      signal.removeEventListener("abort", abort);
      finish();
    };
    const online = end(resolve);
    const abort = end(() => reject(new DOMException("Stopped", "AbortError")));
    const timer = setTimeout(online, wait);
    addEventListener("online", online);
    signal.addEventListener("abort", abort);
  });
}
