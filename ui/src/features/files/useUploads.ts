import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { keys } from "@/shared/api/keys";
import type { Namesake, StoredFile } from "@/shared/api/types";
import { useErrorText } from "@/shared/ui/ErrorNotice";
import { useToast } from "@/shared/ui/Toasts";
import { refreshFiles } from "./api";
import { upload } from "./upload";

/** A file on its way to the server, or one that it refused. */
export interface Upload {
  key: number;
  file: File;
  conversationId: string | null;
  /** Begins the conversation that it goes into, where it has none yet. */
  begin: Begin | null;
  sent: number;
  error: unknown;
}

/** Begins a conversation for files, one for all that come before it is there; `keep` hears its id. */
export interface Begin {
  conversation: () => Promise<{ id: string }>;
  keep: (id: string) => void;
}

/** A file that has arrived where an older one has its name: its owner may let it take that one's place. */
export interface Question {
  file: StoredFile;
  older: Namesake;
  conversationId: string | null;
}

/** More at once would only share the same line. */
const AT_ONCE = 3;

export interface Uploads {
  uploads: Upload[];
  questions: Question[];
  add: (files: File[], conversationId: string | null, begin?: Begin) => void;
  retry: (upload: Upload) => void;
  dismiss: (key: number) => void;
  settle: (question: Question) => void;
}

interface UploadOptions {
  /** Hears of each file that has arrived. */
  onArrived?: (file: StoredFile) => void;
  /** The shared library that they go into. */
  libraryId?: string;
  /** Whether the list that shows what goes into a conversation is to be seen now. */
  isShown?: (conversationId: string | null) => boolean;
}

/** Sends files, a few at a time; one that has arrived leaves this list and shows up among the stored ones. */
export function useUploads({ onArrived, libraryId, isShown }: UploadOptions = {}): Uploads {
  const queries = useQueryClient();
  const tell = useRef({ onArrived, isShown });
  useEffect(() => {
    tell.current = { onArrived, isShown };
  });
  const toast = useToast();
  const say = useErrorText();
  // A loss is told by the list that shows it, or where that is not to be seen, to whoever is elsewhere by now.
  const isGone = useRef(false);
  const tellLoss = useRef<(file: File, error: unknown) => void>(null);
  useEffect(() => {
    isGone.current = false;
    tellLoss.current = (file, error) => toast({ text: `${file.name}: ${say(error)}` });
    return () => {
      isGone.current = true;
    };
  }, [say, toast]);
  const [uploads, setUploads] = useState<Upload[]>([]);
  const [questions, setQuestions] = useState<Question[]>([]);
  useAskBeforeLeaving(uploads.some(({ error }) => error === null));
  const nextKey = useRef(0);
  const line = useRef<(() => Promise<void>)[]>([]);
  const active = useRef(0);

  const dismiss = useCallback((key: number) => setUploads((list) => list.filter((item) => item.key !== key)), []);
  const settle = useCallback((question: Question) => setQuestions((list) => list.filter((item) => item !== question)), []);

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
    (files: File[], place: string | null, begin: Begin | null = null) => {
      for (const file of files) {
        const key = nextKey.current++;
        const change = (part: Partial<Upload>) =>
          setUploads((list) => list.map((item) => (item.key === key ? { ...item, ...part } : item)));
        setUploads((list) => [...list, { key, file, conversationId: place, begin, sent: 0, error: null }]);
        line.current.push(async () => {
          let conversationId = place;
          try {
            if (begin) {
              const { id } = await begin.conversation();
              conversationId = id;
              // Together: in between the file would belong to no chat, and a question would go without it.
              begin.keep(id);
              change({ conversationId, begin: null });
            }
            const stored = await upload(file, { conversationId, libraryId }, (sent) => change({ sent }));
            for (const list of [keys.fileList(conversationId, true), keys.fileList(conversationId), keys.fileList(null)])
              queries.setQueryData<StoredFile[]>(list, (old) => old && withFile(old, stored));
            tell.current.onArrived?.(stored);
            const older = stored.same_name?.[0];
            if (older) setQuestions((list) => [...list, { file: stored, older, conversationId }]);
            await refreshFiles(queries);
            dismiss(key);
          } catch (error) {
            change({ error });
            if (isGone.current || tell.current.isShown?.(conversationId) === false) tellLoss.current?.(file, error);
          }
        });
      }
      run();
    },
    [dismiss, libraryId, queries, run],
  );

  const retry = useCallback(
    (item: Upload) => {
      dismiss(item.key);
      add([item.file], item.conversationId, item.begin ?? undefined);
    },
    [add, dismiss],
  );

  return { uploads, questions, add, retry, dismiss, settle };
}

/** Have the browser ask before the tab is closed, which would end what is on its way. */
function useAskBeforeLeaving(isSending: boolean): void {
  useEffect(() => {
    if (!isSending) return;
    const hold = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", hold);
    return () => removeEventListener("beforeunload", hold);
  }, [isSending]);
}

/** How far the files of a place are that the next question waits for: on their way, or not to come. */
export function sendingOf({ uploads }: Uploads, conversationId: string | null): "no" | "yes" | "failed" {
  const here = uploads.filter((upload) => upload.conversationId === conversationId);
  if (here.some(({ error }) => error === null)) return "yes";
  return here.length > 0 ? "failed" : "no";
}

const withFile = (files: StoredFile[], file: StoredFile): StoredFile[] => [
  file,
  ...files.filter((other) => other.id !== file.id),
];
