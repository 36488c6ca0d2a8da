import { at } from "@/shared/root";
import type { StoredFile } from "./types";

/** Media types of pictures that models are shown. */
const VIEWABLE = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

export const isPicture = ({ mime }: Pick<StoredFile, "mime">): boolean => VIEWABLE.has(mime);

/** Where the original bytes of a file are. */
export const contentUrl = (fileId: string): string => at(`/api/v1/files/${encodeURIComponent(fileId)}/content`);
