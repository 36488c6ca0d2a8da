import { describe, expect, it } from "vitest";
import { piecesOf } from "./match";

const indexes = (passage: string, pieces: string[]): number[] => piecesOf(passage, pieces).map(({ index }) => index);

const PAGE = ["The war-", "ranty lasts two years ", "from the day of purchase.", " Batteries are excluded."];

describe("piecesOf", () => {
  it("finds a passage over line ends and hyphens", () => {
    expect(indexes("The warranty lasts two years", PAGE)).toEqual([0, 1]);
  });

  it("tells which part of a line is meant", () => {
    const line = ["The warranty is eleven years. Seals are excluded from it."];
    const [part, ...others] = piecesOf("The warranty is eleven years.", line);
    expect(others).toEqual([]);
    expect(part?.from).toBe(0);
    expect(part?.to).toBeGreaterThan(0.45);
    expect(part?.to).toBeLessThan(0.6);
    expect(piecesOf("Seals are excluded from it.", line)[0]?.to).toBe(1);
  });

  it("finds what of a passage is on this page", () => {
    expect(indexes("purchase. Batteries are excluded. And then the next page goes on.", PAGE)).toEqual([2, 3]);
  });

  it("finds nothing where there is nothing", () => {
    expect(piecesOf("Something else altogether, and long enough", PAGE)).toEqual([]);
    expect(piecesOf("", PAGE)).toEqual([]);
    expect(piecesOf("x", [])).toEqual([]);
  });
});
