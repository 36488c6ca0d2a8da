/** One event of a `text/event-stream`, its data not parsed yet. */
export interface ServerEvent {
  id: number | null;
  event: string;
  data: string;
}

function parseBlock(block: string): ServerEvent | null {
  let id: number | null = null;
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && /^\d+$/.test(value)) id = Number(value);
  }
  return data.length > 0 ? { id, event, data: data.join("\n") } : null;
}

/** Three times as long as the server lets a stream be idle before it sends a comment: who is silent longer has gone. */
const SILENT_MS = 45_000;

/** Read on, but no longer than a living stream can be silent; throws TypeError, as a body that breaks off does. */
async function readSoon(reader: ReadableStreamDefaultReader<Uint8Array>) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TypeError("The stream has fallen silent.")), SILENT_MS);
  });
  try {
    return await Promise.race([reader.read(), silence]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Read the events of a stream as they arrive.
 *
 * Follows the WHATWG rules that matter here: comment lines are skipped, all three line ends count, and an event that
 * the stream's end cut off is dropped (the next connection sends it again). A connection that has died without a word,
 * as one does while a computer sleeps, ends in a TypeError.
 */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await readSoon(reader);
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      const heldBack = rest.endsWith("\r") ? 1 : 0;
      const usable = rest.slice(0, rest.length - heldBack).replace(/\r\n?/g, "\n");
      const blocks = usable.split("\n\n");
      rest = (blocks.pop() ?? "") + rest.slice(rest.length - heldBack);
      for (const block of blocks) {
        const event = parseBlock(block);
        if (event) yield event;
      }
    }
  } finally {
    await reader.cancel();
  }
}
