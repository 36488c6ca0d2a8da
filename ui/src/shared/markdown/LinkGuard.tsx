import { createContext, useContext, useState, type ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { Button } from "@/shared/ui/controls";
import { Modal } from "@/shared/ui/Modal";

const Context = createContext<((address: string) => void) | null>(null);

/** Asks before anything leads away from this page, and shows where it would lead. */
export function LinkGuard({ children }: { children: ReactNode }) {
  const [address, setAddress] = useState<string | null>(null);
  const t = useT();
  const close = () => setAddress(null);
  return (
    <Context value={setAddress}>
      {children}
      {address && (
        <Modal title={t("link.title")} text={t("link.explain")} onClose={close}>
          <p className="address">{address}</p>
          <div className="dialog__actions">
            <Button onClick={close}>{t("app.cancel")}</Button>
            <a
              className="button button--primary"
              href={address}
              target="_blank"
              rel="noopener noreferrer nofollow"
              onClick={close}
            >
              {t("link.open")}
            </a>
          </div>
        </Modal>
      )}
    </Context>
  );
}

export function useLinkGuard(): (address: string) => void {
  const ask = useContext(Context);
  if (!ask) throw new Error("useLinkGuard needs a LinkGuard above it");
  return ask;
}
