import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from "react";
import { Button } from "./controls";

interface Toast {
  id: number;
  text: string;
  action?: { label: string; run: () => void };
  /** Called once the toast has gone without its action having been taken. */
  onExpire?: () => void;
}

type Show = (toast: Omit<Toast, "id">) => void;

const SHOWN_MS = 6000;
const Context = createContext<Show | null>(null);

/** Short messages at the foot of the page, one after the other, each with at most one action. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(0);
  const timers = useRef(new Map<number, number>());

  const remove = useCallback((id: number) => {
    window.clearTimeout(timers.current.get(id));
    timers.current.delete(id);
    setToasts((shown) => shown.filter((toast) => toast.id !== id));
  }, []);

  const show = useCallback<Show>(
    (toast) => {
      const id = next.current++;
      setToasts((shown) => [...shown, { ...toast, id }]);
      timers.current.set(
        id,
        window.setTimeout(() => {
          remove(id);
          toast.onExpire?.();
        }, SHOWN_MS),
      );
    },
    [remove],
  );

  return (
    <Context value={useMemo(() => show, [show])}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map(({ id, text, action }) => (
          <div className="toast" key={id}>
            <span>{text}</span>
            {action && (
              <Button
                onClick={() => {
                  remove(id);
                  action.run();
                }}
              >
                {action.label}
              </Button>
            )}
          </div>
        ))}
      </div>
    </Context>
  );
}

export function useToast(): Show {
  const show = useContext(Context);
  if (!show) throw new Error("useToast needs a ToastProvider above it");
  return show;
}
