import { describe, expect, it } from "vitest";
import { en } from "./en";
import { fill, type Text } from "./fill";
import { daysAgo, formatsFor } from "./format";
import { ru } from "./ru";

const forms = (text: Text): string[] => (typeof text === "string" ? [text] : Object.values(text));
const placeholders = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "").sort();

describe("the catalogues", () => {
  it.each(Object.keys(en) as (keyof typeof en)[])("agree on the parameters of %s", (key) => {
    const [first] = forms(en[key]).map(placeholders);
    for (const text of [...forms(en[key]), ...forms(ru[key])]) expect(placeholders(text)).toEqual(first);
  });

  it("have all plural forms that Russian needs", () => {
    for (const [key, text] of Object.entries(ru)) {
      if (typeof text !== "string") expect(Object.keys(text), key).toEqual(["one", "few", "many", "other"]);
    }
  });
});

describe("fill", () => {
  it("chooses the plural form", () => {
    const text = ru["files.count"];
    expect([1, 3, 11, 21].map((count) => fill(text, "ru", { count }))).toEqual([
      "1 файл",
      "3 файла",
      "11 файлов",
      "21 файл",
    ]);
  });
});

describe("the formats", () => {
  it("name sizes and durations", () => {
    const { bytes, duration } = formatsFor("en");
    expect([bytes(0), bytes(1536), bytes(5 * 1024 ** 3)]).toEqual(["0 bytes", "1.5 kB", "5 GB"]);
    expect([duration(12), duration(1500)]).toEqual(["12 ms", "1.5 sec"]);
  });

  it("count days by the calendar", () => {
    const now = new Date(2026, 0, 2, 0, 30);
    expect(daysAgo(new Date(2026, 0, 1, 23, 50).toISOString(), now)).toBe(1);
    expect(daysAgo(new Date(2026, 0, 2, 0, 10).toISOString(), now)).toBe(0);
  });
});
