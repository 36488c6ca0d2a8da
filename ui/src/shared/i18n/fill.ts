export type Plural = Partial<Record<Intl.LDMLPluralRule, string>> & { other: string };
export type Text = string | Plural;
export type Parameters = Record<string, string | number>;

/**
 * Put parameters into a text; of a plural text the form that `count` asks for in this language.
 *
 * A placeholder is `{name}`; one without a parameter stays as it is, which a test of the catalogues would show.
 */
export function fill(text: Text, language: string, parameters: Parameters = {}): string {
  const form =
    typeof text === "string"
      ? text
      : (text[new Intl.PluralRules(language).select(Number(parameters["count"] ?? 0))] ?? text.other);
  return form.replace(/\{(\w+)\}/g, (placeholder, name: string) => {
    const value = parameters[name];
    if (value === undefined) return placeholder;
    return typeof value === "number" ? value.toLocaleString(language) : value;
  });
}
