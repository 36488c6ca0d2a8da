import { describe, expect, it } from "vitest";
import { errorOf } from "@/shared/api/errors";
import type { Key, Translate } from "@/shared/i18n";
import { en } from "@/shared/i18n/en";
import { fill } from "@/shared/i18n/fill";
import { ru } from "@/shared/i18n/ru";
import { errorText } from "./ErrorNotice";

const said = (language: "en" | "ru", status: number, error: object): string => {
  const t: Translate = (key: Key, parameters) => fill((language === "en" ? en : ru)[key], language, parameters);
  return errorText(t, language, errorOf(new Response(null, { status }), { error: { request_id: "-", ...error } }));
};
const invalid = (...details: object[]) => ({ code: "validation_error", message: "Request validation failed", details });

describe("an error", () => {
  it("says its reason in the language of the page", () => {
    const message = "This user name is taken.";
    const taken = { code: "conflict", message, details: [{ loc: ["body", "username"], msg: message, type: "username_taken" }] };
    expect(said("ru", 409, taken)).toBe("Это имя пользователя уже занято.");
    expect(said("en", 409, taken)).toBe(message);
    const empty = invalid({ loc: ["body", "file"], msg: "The file is empty.", type: "empty" });
    expect([said("ru", 422, empty), said("en", 422, empty)]).toEqual(["Файл пуст.", "The file is empty."]);
  });

  it("says the rule of a field, and the limit", () => {
    const name = invalid({ loc: ["body", "username"], msg: "3 to 64 …", type: "value_error", code: "user_name" });
    expect(said("en", 422, name)).toBe("Username: 3 to 64 letters, digits, dots, dashes or underscores");
    expect(said("ru", 422, name)).toMatch(/^Имя пользователя: от 3 до 64 символов/);
    const long = { loc: ["body", "name"], msg: "String should have at most 21 characters", type: "string_too_long", limit: 21 };
    expect(said("ru", 422, invalid(long))).toBe("Название: не более 21 символа");
    expect(said("en", 422, invalid(long))).toBe("Name: at most 21 characters");
  });

  it("says no half of what it does not know", () => {
    const unknown = { loc: ["body", "name"], msg: "is odd", type: "odd" };
    const unlimited = { loc: ["body", "name"], msg: "too long", type: "string_too_long" };
    for (const details of [[unknown], [unlimited], [unknown, unlimited]])
      expect(said("ru", 422, invalid(...details))).toBe("Некоторые значения недопустимы.");
    expect(said("ru", 409, { code: "conflict", message: "Odd." })).toBe("Уже существует.");
  });
});
