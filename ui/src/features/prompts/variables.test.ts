import { describe, expect, it } from "vitest";
import { filledIn, variablesOf } from "./variables";

describe("variables of a prompt", () => {
  it("are found once each, in their order, in any script", () => {
    expect(variablesOf("Translate {{ text }} to {{язык}}, then {{text}} again.")).toEqual(["text", "язык"]);
  });

  it("are none where braces mean something else", () => {
    expect(variablesOf("a {single} {{}} {{ }} {{a\nb}} {{{x}} ")).toEqual(["x"]);
  });

  it("are replaced by what was given, as it was given", () => {
    expect(filledIn("{{a}} and {{ b }} and {{c}}", { a: "$& {{b}}", b: "two", c: "" })).toBe("$& {{b}} and two and {{c}}");
  });
});
