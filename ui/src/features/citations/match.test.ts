import { describe, expect, it } from "vitest";
import { piecesOf } from "./match";

const PAGE = ["The war-", "ranty lasts two years ", "from the day of purchase.", " Batteries are excluded."];

describe("piecesOf", () => {
  it("finds a passage over line ends and hyphens", () => {
    expect(piecesOf("The warranty lasts two years", PAGE)).toEqual([0, 1]);
  });

  it("finds what of a passage is on this page", () => {
    expect(piecesOf("purchase. Batteries are excluded. And then the next page goes on.", PAGE)).toEqual([2, 3]);
  });

  it("finds nothing where there is nothing", () => {
    expect(piecesOf("Something else altogether, and long enough", PAGE)).toEqual([]);
    expect(piecesOf("", PAGE)).toEqual([]);
    expect(piecesOf("x", [])).toEqual([]);
  });
});
