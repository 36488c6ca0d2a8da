import { createContext, useContext, useEffect, useRef, type ReactNode, type RefObject } from "react";
import { useUploads, type Uploads } from "@/features/files/useUploads";

/** The conversation whose files are to be seen: null a new chat's, undefined where no chat is. */
type Shown = RefObject<string | null | undefined>;

const Context = createContext<{ uploads: Uploads; shown: Shown } | null>(null);

/** Keeps what is being uploaded into chats while one looks at another page: who comes back sees it, and asks after it. */
export function ChatUploads({ children }: { children: ReactNode }) {
  const shown: Shown = useRef(undefined);
  const uploads = useUploads({ isShown: (conversationId) => shown.current === conversationId });
  return <Context value={{ uploads, shown }}>{children}</Context>;
}

/** The uploads into chats, for the page that shows those of one conversation. */
export function useChatUploads(conversationId: string | null): Uploads {
  const kept = useContext(Context);
  if (!kept) throw new Error("useChatUploads needs ChatUploads around it");
  const { uploads, shown } = kept;
  useEffect(() => {
    shown.current = conversationId;
    return () => {
      shown.current = undefined;
    };
  }, [shown, conversationId]);
  return uploads;
}
