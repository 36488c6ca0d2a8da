import { describe, expect, it } from "vitest";
import { BlockLexer } from "./blocks";
import { mended, readable } from "./tail";

describe("mended", () => {
  it.each([
    ["the **bold", "the **bold**"],
    ["the **bold ", "the **bold**"],
    ["the **", "the "],
    ["the **bold*", "the **bold**"],
    ["***both", "***both***"],
    ["an *emphasis and **bold", "an *emphasis and **bold***"],
    ["run `npm i", "run `npm i`"],
    ["run `", "run "],
    ["as told [1", "as told "],
    ["as told [1, 2", "as told "],
    ["see [the manual](https://exam", "see the manual"],
    ["![a picture](https://exam", ""],
    ["see [the man", "see the man"],
    ["see [the manual]", "see the manual"],
    ["said[^no", "said"],
    ["**bold over\ntwo lin", "**bold over\ntwo lin**"],
    ["Parts:\n- [", "Parts:"],
    ["``a ` b", "``a ` b``"],
    ["~~bad~", "~~bad~~"],
    ["Parts:\n| Part | Warr", "Parts:"],
    ["| Part | Warranty |\n|---|", ""],
    ["Parts:\n-", "Parts:"],
    ["Parts:\n##", "Parts:"],
    ["Parts:\n```", "Parts:"],
    ["* a point with **bold", "* a point with **bold**"],
  ])("reads %j as %j", (raw, expected) => expect(mended(raw)).toBe(expected));

  it.each(["plain text", "2 * 3 = 6", "2*3", "**done** and `done` [1]", "a_b_c", "5 $ and [x] too", "a | b", "snake*case here"])(
    "leaves %j alone",
    (raw) => expect(mended(raw)).toBe(raw),
  );
});

describe("readable", () => {
  const last = (text: string) => readable(new BlockLexer().update(text).at(-1)!);

  it("keeps the block where it was, so that it is the same element that grows", () => {
    const text = "First.\n\nThe **second";
    expect(last(text).map(({ start, token }) => [start, token.type])).toEqual([[8, "paragraph"]]);
  });

  it("shows no underlined heading where a list is about to begin", () => {
    expect(last("Parts:\n-").map(({ token }) => token.type)).toEqual(["paragraph"]);
  });

  it("shows nothing where nothing can be read yet", () => expect(last("| Part | War")).toEqual([]));

  it("leaves code alone, whatever it holds", () => {
    const [block] = last("```python\nx = 2 **");
    expect(block?.token).toMatchObject({ type: "code", text: "x = 2 **" });
  });
});
