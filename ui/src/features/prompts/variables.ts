const VARIABLE = /\{\{[ \t]*([^{}\s](?:[^{}\n]{0,58}[^{}\s])?)[ \t]*\}\}/g;

/** The names of a prompt's variables, `{{name}}`, each once, in their order. */
export function variablesOf(content: string): string[] {
  return [...new Set([...content.matchAll(VARIABLE)].map((match) => match[1] ?? ""))];
}

/** The prompt with its variables filled in; one without a value stays as it stands. */
export function filledIn(content: string, values: Record<string, string>): string {
  return content.replace(VARIABLE, (whole, name: string) => values[name] || whole);
}
