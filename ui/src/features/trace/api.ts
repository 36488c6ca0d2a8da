import { queryOptions } from "@tanstack/react-query";
import { api, take } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import { traceOf, type Trace } from "./types";

/** One passage of a file as it is now; it is 404 where the file is gone. */
export const passageQuery = (fileId: string, position: number) =>
  queryOptions({
    queryKey: keys.passage(fileId, position),
    queryFn: async ({ signal }) => {
      const params = { path: { file_id: fileId }, query: { position, limit: 1 } };
      const { items } = await take(api.GET("/api/v1/files/{file_id}/chunks", { params, signal }));
      const found = items[0];
      if (found?.position !== position) throw new Error("There is no such passage any more.");
      return found;
    },
    retry: false,
  });

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
