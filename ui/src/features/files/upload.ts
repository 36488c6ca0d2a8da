import { at } from "@/shared/root";
import { ApiError, errorOf } from "@/shared/api/errors";
import type { UploadedFile } from "@/shared/api/types";

/**
 * Send one file; `onSent` hears the share of its bytes that has gone out.
 *
 * By XMLHttpRequest, because `fetch` can't tell how far a body has been sent.
 */
export function upload(
  file: File,
  { conversationId, libraryId }: { conversationId: string | null; libraryId?: string | undefined },
  onSent: (share: number) => void,
): Promise<UploadedFile> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", at("/api/v1/files/upload"));
    request.setRequestHeader("X-Requested-With", "llama-service");
    request.upload.onprogress = ({ loaded, total }) => onSent(total > 0 ? loaded / total : 1);
    request.onerror = () => reject(new ApiError(0, "network", "The server can't be reached."));
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status < 300) resolve(body as UploadedFile);
      else reject(errorOf(answerOf(request), body));
    };
    const form = new FormData();
    form.append("file", file);
    if (conversationId) form.append("conversation_id", conversationId);
    if (libraryId) form.append("library_id", libraryId);
    request.send(form);
  });
}

/** What the errors of `fetch` are read from. */
function answerOf(request: XMLHttpRequest): Response {
  const wait = request.getResponseHeader("Retry-After");
  return new Response(null, {
    status: request.status,
    statusText: request.statusText,
    headers: wait ? { "Retry-After": wait } : {},
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
