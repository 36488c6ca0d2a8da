import { common, createLowlight } from "lowlight";

export type Highlighted = ReturnType<ReturnType<typeof createLowlight>["highlight"]>;

/** Longer code is shown plain: colouring it would hold the page up. */
const MAX_CHARACTERS = 60_000;

const lowlight = createLowlight(common);

/** Colour code by its language's grammar; null for a language that is not known, or for very long code. */
export function highlight(code: string, language: string): Highlighted | null {
  if (code.length > MAX_CHARACTERS || !lowlight.registered(language)) return null;
  return lowlight.highlight(language, code);
}
