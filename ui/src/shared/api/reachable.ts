import { send } from "./client";

const FIRST_LOOK_MS = 1_000;
const LONGEST_WAIT_MS = 10_000;

/** Whether the server answers at all. */
async function answers(): Promise<boolean> {
  const answer = await send("/health", { cache: "no-store" }).catch(() => null);
  return answer?.ok ?? false;
}

/** Look whether the server is there, less and less often, until it is. */
export async function untilServerAnswers(): Promise<void> {
  for (let wait = FIRST_LOOK_MS; ; wait = Math.min(LONGEST_WAIT_MS, 2 * wait)) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    if (await answers()) return;
  }
}

/**
 * Load a part of the page; while the server is away, wait for it.
 *
 * A failure would be kept by `lazy` until the page is loaded anew, and make the router do that at once: with the server
 * away it would end what the page still shows and sends. Throws where the server is there and does not have the part, as
 * after an update.
 */
export async function loadPart<Part>(load: () => Promise<Part>): Promise<Part> {
  try {
    return await load();
  } catch (failure) {
    if (await answers()) throw failure;
    await untilServerAnswers();
    return load();
  }
}
