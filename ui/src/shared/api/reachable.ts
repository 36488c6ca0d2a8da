import { send } from "./client";

const LONGEST_PAUSE_MS = 10_000;
export const FIRST_PAUSE_MS = 1_000;

/** Whether the server answers at all. */
export async function serverAnswers(): Promise<boolean> {
  const answer = await send("/health", { cache: "no-store" }).catch(() => null);
  return answer?.ok ?? false;
}

/** Wait, and return how long to wait the next time. */
export async function pause(milliseconds: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  return Math.min(LONGEST_PAUSE_MS, 2 * milliseconds);
}

/**
 * Load a part of the page, and once more where that fails; while the server is away, wait for it.
 *
 * A failure would be kept by `lazy` until the page is loaded anew, and make the router do that at once: with the server
 * away it would end what the page still shows and sends. Throws where the server is there and does not have the part, as
 * after an update. (Chromium asks the server again for a part that it failed to load; browsers that do not, throw.)
 */
export async function loadPart<Part>(load: () => Promise<Part>): Promise<Part> {
  try {
    return await load();
  } catch {
    let wait = FIRST_PAUSE_MS;
    while (!(await serverAnswers())) wait = await pause(wait);
    return load();
  }
}
