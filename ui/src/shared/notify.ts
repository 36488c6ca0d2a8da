import { useState } from "react";
import { useStored } from "./hooks/useStored";

const STORED = "notify";

/** Whether this browser can show notifications of a page. */
export const notificationsExist = "Notification" in window;

/** Whether the user wants to be told by the system, and the way to change that; `refused` by the browser. */
export function useNotifications(): ["on" | "off" | "refused", (on: boolean) => Promise<void>] {
  const [wanted, want] = useStored(STORED, "");
  const [refused, setRefused] = useState(false);
  async function set(on: boolean) {
    const allowed = on && (await Notification.requestPermission()) === "granted";
    setRefused(on && !allowed);
    want(allowed ? "on" : "");
  }
  return [refused ? "refused" : wanted === "on" ? "on" : "off", set];
}

/** Tell of something by the system, where the user wants that and does not look at the page; `open` leads there. */
export function notify(text: string, open: () => void): void {
  if (!notificationsExist || !document.hidden) return;
  if (localStorage.getItem(STORED) !== "on" || Notification.permission !== "granted") return;
  const title = "llama-service";
  try {
    const shown = new Notification(title, { body: text });
    shown.onclick = () => {
      window.focus();
      open();
      shown.close();
    };
  } catch {
    // Android shows those of a worker only.
    void navigator.serviceWorker?.getRegistration().then((worker) => worker?.showNotification(title, { body: text }));
  }
}
