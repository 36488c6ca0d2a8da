/** The document, which unit tests have none of. */
const page = typeof document === "undefined" ? null : document;

/** The path that the service is reached under, as `/ai`; empty at the root of its host. The server writes it in. */
export const ROOT: string = page?.querySelector<HTMLMetaElement>('meta[name="root-path"]')?.content ?? "";

/** Return the address of a path of ours, for what the router and the API's client do not make. */
export const at = (path: string): string => ROOT + path;
