import type { Translate } from "@/shared/i18n";
import type { ModelSource } from "./types";

const SOURCES: readonly ModelSource[] = ["local", "embedded", "ollama", "openai", "aihub"];

/** What the server says a source is, where this page knows such a one: it says it as a plain string. */
export function sourceOf(value: string | null | undefined): ModelSource | null {
  return SOURCES.find((source) => source === value) ?? null;
}

/** A source's name in the page's language. */
export function sourceName(t: Translate, value: string): string {
  const source = sourceOf(value);
  return source ? t(`source.${source}`) : value;
}
