import { describe, expect, it } from "vitest";
import { inOrder, opened, upTo, draftMessage, finished } from "./branch";
import { joinedText, LiveRun, type Asked } from "./LiveRun";

const ASKED: Asked = { conversationId: "c", after: null, question: "Why?", continues: null };
const START = {
  type: "start",
  run_id: "r",
  conversation_id: "c",
  user_message_id: "u",
  message_id: "a",
  model_source: "openai",
  model_name: "m",
} as const;

const message = (id: string, parent: string | null) => draftMessage({ id, role: "user", parent_id: parent });

describe("joinedText", () => {
  it.each([
    ["", "new", "new"],
    ["Hello wor", "He", "Hello wor"],
    ["Hello wor", "Hello world", "Hello world"],
    ["Base. And on", "And", "Base. And on"],
    ["Base. And on", "And on and on", "Base. And on and on"],
    ["Base.", " More", "Base. More"],
  ])("of %j and %j is %j", (recorded, replayed, text) => {
    expect(joinedText(recorded, replayed)).toBe(text);
  });
});

describe("LiveRun", () => {
  it("collects a run and tells its listeners", () => {
    const run = new LiveRun(ASKED);
    let told = 0;
    run.subscribe(() => (told += 1));
    run.take(START);
    run.take({ type: "chunk", content: "Be" });
    run.take({ type: "chunk", content: "cause." });
    run.take({ type: "done", message_id: "a", model_source: "openai", model_name: "m" });
    expect(run.snapshot()).toMatchObject({ phase: "over", text: "Because.", messageId: "a", conversationId: "c" });
    expect(told).toBe(2);
  });

  it("continues from what was said", () => {
    const run = new LiveRun({ ...ASKED, continues: { ...message("a", "u"), content: "One" } });
    run.take({ type: "chunk", content: ", two" });
    expect(run.now.text).toBe("One, two");
  });

  it("keeps the text when the run fails", () => {
    const run = new LiveRun(ASKED);
    run.take({ type: "chunk", content: "Half" });
    run.take({ type: "error", error: { code: "provider_timeout", message: "Late" } });
    expect(run.snapshot()).toMatchObject({ phase: "over", text: "Half", error: { code: "provider_timeout" } });
  });
});

describe("branches", () => {
  const branch = [message("1", null), message("2", "1"), message("3", "2")];

  it("are put in order from pages in any order", () => {
    expect(inOrder([...branch].reverse()).map(({ id }) => id)).toEqual(["1", "2", "3"]);
    expect(inOrder([])).toEqual([]);
  });

  it("are cut where a new message goes", () => {
    expect(upTo(branch, "2").map(({ id }) => id)).toEqual(["1", "2"]);
    expect(upTo(branch, null)).toEqual([]);
  });

  it("get the question and the answer of a run", () => {
    const next = opened(branch, { ...ASKED, after: "1" }, START);
    expect(next.map(({ id }) => id)).toEqual(["1", "u", "a"]);
    expect(next.at(-1)).toMatchObject({ status: "streaming", run_id: "r" });
    const done = finished(next, { type: "done", message_id: "a", model_source: "openai", model_name: "m" }, "Text", "");
    expect(done.at(-1)).toMatchObject({ status: "complete", content: "Text" });
  });

  it("keep the question when an answer is written again", () => {
    const next = opened(branch, { ...ASKED, question: null, after: "2" }, { ...START, user_message_id: "2" });
    expect(next.map(({ id }) => id)).toEqual(["1", "2", "a"]);
  });
});
