import { at } from "@/shared/root";
import { api, take } from "./client";
import { ApiError } from "./errors";

const STORED = "person";
/** What belongs to the browser, whoever sits at it. */
const OF_THE_BROWSER = new Set(["theme", "language", "sidebar-folded"]);

/** Whose drafts and choices this browser keeps: the id of who was signed in last, null after a sign-out. */
export const keptPerson = (): string | null => localStorage.getItem(STORED);

function forgetPerson(): void {
  for (const name of Object.keys(localStorage)) if (!OF_THE_BROWSER.has(name)) localStorage.removeItem(name);
  sessionStorage.clear();
}

/** Note who is signed in, and forget what is kept of anybody else; says whether there was somebody else. */
export function notePerson(id: string): boolean {
  const before = keptPerson();
  if (before === id) return false;
  if (before !== null) forgetPerson();
  localStorage.setItem(STORED, id);
  return before !== null;
}

/** Forget whose page this was, and load it anew: answers, uploads and what was read are in its memory too. */
export function leave(address: string | null = null): void {
  forgetPerson();
  location.assign(address ?? at("/sign-in"));
}

type Work = () => Promise<unknown>;
const unfinished = new Set<Work>();

/** Do `work` before the session ends, while it may still be done; returns how to stop that. */
export function beforeSignOut(work: Work): () => void {
  unfinished.add(work);
  return () => unfinished.delete(work);
}

/**
 * End this session, or all of the account's, and leave. A provider that the session came through is visited, so that
 * its own session ends too. A session that had ended already is left as well; any other failure leaves all as it is.
 */
export async function signOut(all: boolean): Promise<void> {
  // What fails there is told there, and keeps nobody in.
  await Promise.allSettled([...unfinished].map((work) => work()));
  try {
    const left = await take(api.POST("/api/v1/auth/logout", { body: { all } }));
    leave(left?.end_session_url);
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    leave();
  }
}

/** Call `listener` when another tab may have signed somebody in or out; returns how to stop that. */
export function onOtherTabs(listener: () => void): () => void {
  const look = () => document.visibilityState === "visible" && listener();
  // A tab that the browser had put to sleep has not heard of what was stored meanwhile.
  addEventListener("storage", listener);
  document.addEventListener("visibilitychange", look);
  return () => {
    removeEventListener("storage", listener);
    document.removeEventListener("visibilitychange", look);
  };
}
