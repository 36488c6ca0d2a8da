import { describe, expect, it } from "vitest";
import { unitOffset, windowAround } from "./place";

describe("windowAround", () => {
  it("marks what the server means, also after characters outside the basic plane", () => {
    const text = "🦙🦙 llamas eat grass";
    const { before, marked, after } = windowAround(text, 3, 9, 100);
    expect([before, marked, after]).toEqual(["🦙🦙 ", "llamas", " eat grass"]);
  });

  it("cuts a long text and says how much", () => {
    const text = "x".repeat(1000) + "HIT" + "y".repeat(1000);
    const window = windowAround(text, 1000, 1003, 50);
    expect(window.marked).toBe("HIT");
    expect(window.before).toHaveLength(50);
    expect(window.cutBefore + window.before.length + 3 + window.after.length + window.cutAfter).toBe(text.length);
  });

  it("marks the part that was looked for, where it is there", () => {
    const text = "🦙 one two three two";
    expect(windowAround(text, 2, 15, 100, "two").marked).toBe("two");
    expect(windowAround(text, 2, 15, 100, "two").before).toBe("🦙 one ");
    expect(windowAround(text, 2, 5, 100, "three").marked).toBe("one");
  });

  it("keeps within the text whatever the offsets are", () => {
    const { before, marked, after } = windowAround("short", 99, 120, 10);
    expect(before + marked + after).toBe("short");
  });
});

describe("unitOffset", () => {
  it("counts code points", () => {
    expect(unitOffset("a🦙b", 2)).toBe(3);
    expect(unitOffset("ab", 9)).toBe(2);
  });
});
