import { Dialog } from "radix-ui";
import type { ReactNode } from "react";

interface ModalProps {
  title: string;
  text?: ReactNode;
  wide?: boolean;
  onClose: () => void;
  children: ReactNode;
}

/** A dialog over the page; it is mounted only while it is open. */
export function Modal({ title, text, wide = false, onClose, children }: ModalProps) {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Overlay className="dialog__veil" />
        <Dialog.Content
          className={`dialog ${wide ? "dialog--wide" : ""}`}
          {...(text ? {} : { "aria-describedby": undefined })}
        >
          <Dialog.Title className="dialog__title">{title}</Dialog.Title>
          {text && <Dialog.Description className="dialog__text">{text}</Dialog.Description>}
          {children}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
