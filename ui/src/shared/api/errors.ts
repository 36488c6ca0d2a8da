/** What the server's error envelope says, or what kept the request from reaching it (`code` `network`). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | null;
  readonly retryAfter: number | null;
  /** What the server can say more closely: which values are not valid and why, or the reason of its refusal. */
  readonly details: Detail[];

  constructor(
    status: number,
    code: string,
    message: string,
    requestId?: string | null,
    retryAfter?: number | null,
    details: Detail[] = [],
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.requestId = requestId ?? null;
    this.retryAfter = retryAfter ?? null;
    this.details = details;
  }
}

/** Codes of 502 to 504 that tell of the server itself or of a proxy before it, and not of a model's. */
const NOBODY_THERE = new Set(["internal_error", "dependency_unavailable", "interrupted"]);

/** Whether a request failed since there was nobody to answer it: that may pass, and then it is worth sending again. */
export const isUnreachable = (error: unknown): boolean =>
  error instanceof ApiError && (error.status === 0 || (error.status >= 502 && NOBODY_THERE.has(error.code)));

/** Where in the request something is wrong, and what, by `code` or by `type` where it has none. */
export interface Detail {
  loc?: (string | number)[];
  msg?: string;
  type?: string;
  code?: string;
  /** The number that must not be passed. */
  limit?: number;
}

interface Envelope {
  error: { code: string; message: string; request_id?: string | null; details?: Detail[] };
}

const isEnvelope = (body: unknown): body is Envelope =>
  typeof body === "object" && body !== null && "error" in body && typeof body.error === "object";

/** Turn an answer that is not 2xx into the error to throw. */
export function errorOf(response: Response, body: unknown): ApiError {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  if (isEnvelope(body)) {
    const { code, message, request_id, details = [] } = body.error;
    return new ApiError(response.status, code, message, request_id, retryAfter, details);
  }
  return new ApiError(response.status, "internal_error", response.statusText, null, retryAfter);
}

/** Read the body of an answer that is not 2xx and return the error to throw. */
export async function readError(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    return errorOf(response, JSON.parse(text) as unknown);
  } catch {
    return errorOf(response, null);
  }
}
