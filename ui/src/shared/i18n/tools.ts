import type { Translate } from "./index";

const BUILT_IN = ["search_files", "read_file", "list_tables", "query_table", "calculate", "current_date", "remember"] as const;
type BuiltIn = (typeof BUILT_IN)[number];

const isBuiltIn = (name: string): name is BuiltIn => (BUILT_IN as readonly string[]).includes(name);

/** A tool's name for people: ours in their language, others as their server tells it. */
export const toolTitle = (t: Translate, { name, title }: { name: string; title: string }): string =>
  isBuiltIn(name) ? t(`tool.${name}`) : title;

/** What a tool does, in a sentence. */
export const toolHint = (t: Translate, { name, description }: { name: string; description: string }): string =>
  isBuiltIn(name) ? t(`tool.${name}.hint`) : description;
