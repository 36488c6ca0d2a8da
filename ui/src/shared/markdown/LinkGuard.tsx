import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";

export interface Guard {
  /** Whether the reader has agreed to this address's host. */
  knows: (address: string) => boolean;
  /** Ask whether this address may be gone to, or loaded; then do it. */
  ask: (address: string, onAgreed: () => void) => void;
}

const Context = createContext<Guard | null>(null);
const STORED = "agreed-hosts";

/** Mail has no host: each address is asked about once. */
const hostOf = (address: string): string => {
  const url = new URL(address);
  return url.host || url.href;
};

function stored(): string[] {
  try {
    const hosts: unknown = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    return Array.isArray(hosts) ? hosts.filter((host) => typeof host === "string") : [];
  } catch {
    return [];
  }
}

/** Asks once for each host before anything leads away from this page or is loaded from elsewhere. */
export function LinkGuard({ children }: { children: ReactNode }) {
  const t = useT();
  const [agreed, setAgreed] = useState(stored);
  const [asked, setAsked] = useState<{ address: string; onAgreed: () => void } | null>(null);
  const knows = useCallback((address: string) => agreed.includes(hostOf(address)), [agreed]);
  const ask = useCallback((address: string, onAgreed: () => void) => setAsked({ address, onAgreed }), []);
  const guard = useMemo(() => ({ knows, ask }), [knows, ask]);
  const close = () => setAsked(null);

  function agree() {
    if (!asked) return;
    const hosts = [...agreed, hostOf(asked.address)];
    sessionStorage.setItem(STORED, JSON.stringify(hosts));
    setAgreed(hosts);
    asked.onAgreed();
    close();
  }

  return (
    <Context value={guard}>
      {children}
      {asked && (
        <Modal title={t("link.title")} text={t("link.explain")} onClose={close}>
          <p className="address">{asked.address}</p>
          <div className="dialog__actions">
            <Button onClick={close}>{t("app.cancel")}</Button>
            <Button kind="primary" onClick={agree}>
              {t("link.open")}
            </Button>
          </div>
        </Modal>
      )}
    </Context>
  );
}

export function useLinkGuard(): Guard {
  const guard = useContext(Context);
  if (!guard) throw new Error("useLinkGuard needs a LinkGuard above it");
  return guard;
}
