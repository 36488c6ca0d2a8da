/** What somebody has typed into a field of a form, without white space around it; null where that is nothing. */
export function formText(form: FormData, name: string): string | null {
  const value = form.get(name);
  return (typeof value === "string" && value.trim()) || null;
}
