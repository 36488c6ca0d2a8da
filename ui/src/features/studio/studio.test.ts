import { describe, expect, it } from "vitest";
import { drawingOf } from "./drawing";
import { difference } from "./types";

describe("difference", () => {
  it("names the leaves that changed", () => {
    expect(difference({ a: 1, b: { c: [1], d: 2 } }, { a: 1, b: { c: [1, 2] }, e: 3 })).toEqual([
      { path: "b.c", before: [1], after: [1, 2] },
      { path: "b.d", before: 2, after: undefined },
      { path: "e", before: undefined, after: 3 },
    ]);
  });

  it("is empty for equal states", () => {
    expect(difference({ a: [{ b: 1 }] }, { a: [{ b: 1 }] })).toEqual([]);
  });
});

describe("drawingOf", () => {
  it("draws nodes and edges, and leaves edges to nowhere out", () => {
    const nodes = [{ id: "__start__" }, { id: 'a "b"' }];
    const edges = [
      { source: "__start__", target: 'a "b"', conditional: true },
      { source: "x", target: "y" },
    ];
    expect(drawingOf({ mermaid: "", nodes, edges })).toBe(
      ["graph TD", 'n0(["start"])', `n1["a 'b'"]`, "n0 -.-> n1"].join("\n"),
    );
  });
});
