import { queryOptions } from "@tanstack/react-query";
import { api, take } from "./client";
import { keys } from "./keys";
import type { Announcement } from "./types";

const REFRESH_MS = 120_000;

/** What administrators tell everybody now. */
export const announcementsQuery = queryOptions({
  queryKey: keys.announcements,
  queryFn: async ({ signal }): Promise<Announcement[]> =>
    (await take(api.GET("/api/v1/announcements", { signal }))).items,
  refetchInterval: REFRESH_MS,
});
