import { at, ROOT } from "@/shared/root";
import createClient from "openapi-fetch";
import { ApiError, errorOf, readError } from "./errors";
import type { paths } from "./schema";

/** A form of another site can't set this header, which is what guards the session cookie against forgery. */
const GUARD = { "X-Requested-With": "llama-service" };

/** Codes of 401 that tell of the session; the others tell of a password or a code that was typed in. */
const SIGNED_OUT = new Set(["not_authenticated", "token_expired"]);

type Listener = () => void;
const signedOut = new Set<Listener>();

/** Call `listener` whenever the server says that nobody is signed in; returns how to stop that. */
export function onSignedOut(listener: Listener): () => void {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

/** `fetch` of a path of ours, with the guard header, the session cookie, and failures of the network as `ApiError`. */
export async function send(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers ?? (input instanceof Request ? input.headers : undefined));
  for (const [name, value] of Object.entries(GUARD)) headers.set(name, value);
  let response: Response;
  try {
    response = await fetch(typeof input === "string" ? at(input) : input, { ...init, headers, credentials: "same-origin" });
  } catch (failure) {
    if (failure instanceof DOMException && failure.name === "AbortError") throw failure;
    throw new ApiError(0, "network", "The server can't be reached.");
  }
  if (response.status === 401 && SIGNED_OUT.has((await readError(response.clone())).code))
    for (const listener of signedOut) listener();
  return response;
}

/** A name for a request that may be sent twice and is to be done once (`Idempotency-Key`). */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16)); // `randomUUID` is missing where the page came by plain HTTP
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The API, typed by `ui/openapi.json`, which the server itself writes. */
export const api = createClient<paths>({ baseUrl: ROOT, fetch: (request) => send(request) });

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** Return an answer's data, or throw its error. */
export async function take<Data>(answer: Promise<Answer<Data>>): Promise<Data> {
  const { data, error, response } = await answer;
  if (!response.ok) throw errorOf(response, error);
  return data as Data;
}
