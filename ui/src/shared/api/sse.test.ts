import { describe, expect, it, vi } from "vitest";
import { readEvents, type ServerEvent } from "./sse";

function streamOf(parts: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}

async function read(parts: (string | Uint8Array)[]): Promise<ServerEvent[]> {
  const encoder = new TextEncoder();
  const events: ServerEvent[] = [];
  const bytes = parts.map((part) => (typeof part === "string" ? encoder.encode(part) : part));
  for await (const event of readEvents(streamOf(bytes))) events.push(event);
  return events;
}

describe("readEvents", () => {
  it("reads id, name and data", async () => {
    expect(await read(['id: 7\nevent: chunk\ndata: {"a":1}\n\n'])).toEqual([
      { id: 7, event: "chunk", data: '{"a":1}' },
    ]);
  });

  it("skips comments and events without data", async () => {
    expect(await read([": keep alive\n\n", "event: x\n\n", "data: y\n\n"])).toEqual([
      { id: null, event: "message", data: "y" },
    ]);
  });

  it("gives the same events wherever the network cuts the bytes", async () => {
    const whole = new TextEncoder().encode("id: 1\r\nevent: chunk\r\ndata: Привет 🦙\r\n\r\nid: 2\ndata: b\n\n");
    const expected = await read([whole]);
    expect(expected).toHaveLength(2);
    for (let cut = 1; cut < whole.length; cut += 1) {
      expect(await read([whole.slice(0, cut), whole.slice(cut)])).toEqual(expected);
    }
  });

  it("drops an event that the end of the stream cut off", async () => {
    expect(await read(["data: a\n\ndata: b\n"])).toEqual([{ id: null, event: "message", data: "a" }]);
  });

  it("gives up a connection that has fallen silent, but not one that is kept alive", async () => {
    vi.useFakeTimers();
    let send: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (send = controller) });
    const next = readEvents(body).next();
    const ended = expect(next).rejects.toThrow(TypeError);
    for (let beat = 0; beat < 5; beat += 1) {
      await vi.advanceTimersByTimeAsync(30_000);
      send?.enqueue(new TextEncoder().encode(": keep alive\n\n"));
    }
    await vi.advanceTimersByTimeAsync(44_000);
    const early = await Promise.race([next.then(() => "read", () => "gone"), Promise.resolve("waiting")]);
    expect(early).toBe("waiting");
    await vi.advanceTimersByTimeAsync(2_000);
    await ended;
    vi.useRealTimers();
  });
});
