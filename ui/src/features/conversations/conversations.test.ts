import { describe, expect, it } from "vitest";
import type { Conversation } from "@/shared/api/types";
import { grouped, titlesOfSeveral } from "./group";
import { pieces } from "./highlight";

const NOW = new Date(2026, 5, 15, 12);
const at = (days: number, part: Partial<Conversation> = {}): Conversation =>
  ({ id: String(days), pinned: false, archived: false, updated_at: new Date(2026, 5, 15 - days, 9).toISOString(), ...part }) as Conversation;

describe("grouped", () => {
  it("puts headings only over what there is, pinned first and archived last", () => {
    const lines = grouped([at(0), at(1), at(5), at(20), at(90), at(2, { pinned: true }), at(0, { archived: true })], NOW);
    expect(lines.filter((line) => line.kind === "heading").map((line) => line.group)).toEqual([
      "pinned",
      "today",
      "yesterday",
      "week",
      "month",
      "older",
      "archivedGroup",
    ]);
    expect(grouped([], NOW)).toEqual([]);
  });
});

it("tells which titles several conversations have", () => {
  const titled = (title: string | null) => at(0, { title });
  expect(titlesOfSeveral([titled("a"), titled("b"), titled("a"), titled(null), titled("a")])).toEqual(new Set(["a"]));
});

describe("pieces", () => {
  it("cuts at the hits", () => {
    expect(pieces("one two", [[4, 7]])).toEqual([
      { text: "one ", hit: false },
      { text: "two", hit: true },
    ]);
  });

  it("loses no text whatever the hits are", () => {
    for (const hits of [[], [[-3, 2]], [[2, 99]], [[3, 1]], [[0, 4], [2, 6]], [[5, 6], [0, 1]]]) {
      expect(pieces("some text", hits).map((piece) => piece.text).join("")).toBe("some text");
    }
  });
});
