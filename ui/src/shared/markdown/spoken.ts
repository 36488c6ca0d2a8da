import type { Token } from "marked";
import { markdown } from "./syntax";
import { decodeEntities } from "./text";

/** A Markdown text as it is read aloud: words without marks; code, formulas and citations are left out. */
export function spoken(text: string): string {
  return markdown
    .lexer(text)
    .map(wordsOf)
    .map((words) => words.trim())
    .filter(Boolean)
    .join("\n");
}

const SILENT = new Set(["code", "html", "mathBlock", "math", "citation", "footnoteRef", "hr", "def", "image"]);

function wordsOf(token: Token): string {
  if (SILENT.has(token.type)) return "";
  if (token.type === "table") {
    const { header, rows } = token as { header: { text: string }[]; rows: { text: string }[][] };
    return [header, ...rows].map((row) => row.map((cell) => cell.text).join(", ")).join(".\n");
  }
  if (token.type === "list") return (token as { items: Token[] }).items.map(wordsOf).join("\n");
  const inner = "tokens" in token ? token.tokens : undefined;
  if (inner && inner.length > 0) return inner.map(wordsOf).join("");
  if (token.type === "br" || token.type === "space") return "\n";
  return "text" in token && typeof token.text === "string" ? decodeEntities(token.text) : "";
}
