import { queryOptions } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import { traceOf, type Trace } from "./types";

/** Why an answer is what it is. */
export const traceQuery = (messageId: string) =>
  queryOptions({
    queryKey: keys.trace(messageId),
    queryFn: async ({ signal }): Promise<Trace> =>
      traceOf(
        await take(
          api.GET("/api/v1/messages/{message_id}/trace", { params: { path: { message_id: messageId } }, signal }),
        ),
      ),
    retry: false,
  });
