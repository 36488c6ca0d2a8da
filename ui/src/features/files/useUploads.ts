import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useRef, useState } from "react";
import { keys } from "@/shared/api/keys";
import type { StoredFile } from "@/shared/api/types";
import { upload } from "./upload";

/** A file on its way to the server, or one that it refused. */
export interface Upload {
  key: number;
  file: File;
  sent: number;
  error: unknown;
}

/** More at once would only share the same line. */
const AT_ONCE = 3;

export interface Uploads {
  uploads: Upload[];
  add: (files: File[], conversationId: string | null) => void;
  retry: (upload: Upload, conversationId: string | null) => void;
  dismiss: (key: number) => void;
}

/** Sends files, a few at a time; one that has arrived leaves this list and shows up among the stored ones. */
export function useUploads(): Uploads {
  const queries = useQueryClient();
  const [uploads, setUploads] = useState<Upload[]>([]);
  const nextKey = useRef(0);
  const line = useRef<(() => Promise<void>)[]>([]);
  const active = useRef(0);

  const dismiss = useCallback((key: number) => setUploads((list) => list.filter((item) => item.key !== key)), []);

  const run = useCallback(() => {
    while (active.current < AT_ONCE) {
      const job = line.current.shift();
      if (!job) return;
      active.current += 1;
      void job().finally(() => {
        active.current -= 1;
        run();
      });
    }
  }, []);

  const add = useCallback(
    (files: File[], conversationId: string | null) => {
      for (const file of files) {
        const key = nextKey.current++;
        const change = (part: Partial<Upload>) =>
          setUploads((list) => list.map((item) => (item.key === key ? { ...item, ...part } : item)));
        setUploads((list) => [...list, { key, file, sent: 0, error: null }]);
        line.current.push(async () => {
          try {
            const stored = await upload(file, conversationId, (sent) => change({ sent }));
            for (const list of [conversationId, null])
              queries.setQueryData<StoredFile[]>(keys.fileList(list), (old) => old && withFile(old, stored));
            await queries.invalidateQueries({ queryKey: keys.files });
            dismiss(key);
          } catch (error) {
            change({ error });
          }
        });
      }
      run();
    },
    [dismiss, queries, run],
  );

  const retry = useCallback(
    (item: Upload, conversationId: string | null) => {
      dismiss(item.key);
      add([item.file], conversationId);
    },
    [add, dismiss],
  );

  return { uploads, add, retry, dismiss };
}

const withFile = (files: StoredFile[], file: StoredFile): StoredFile[] => [
  file,
  ...files.filter((other) => other.id !== file.id),
];
