import { Dialog } from "radix-ui";
import { useCallback, useRef, useState, type ReactNode } from "react";
import { goBack, keepWay, wayBack } from "./focus";

interface ModalProps {
  title: string;
  text?: ReactNode;
  wide?: boolean;
  /** Whether what it shows, or what was chosen in it, would be lost with it: its own buttons alone close it then. */
  keeps?: boolean;
  onClose: () => void;
  children: ReactNode;
}

/**
 * A dialog over the page; it is mounted only while it is open.
 *
 * A form in it that was changed is kept from a click beside it and from Escape, as what `keeps` names is. Such a dialog
 * has a button that closes it. The focus goes back to where it was.
 */
export function Modal({ title, text, wide = false, keeps = false, onClose, children }: ModalProps) {
  const content = useRef<HTMLDivElement>(null);
  const changed = useRef(false);
  const [way] = useState(wayBack);
  const draw = useCallback(
    (dialog: HTMLDivElement | null) => {
      content.current = dialog;
      if (dialog) keepWay(dialog, way);
    },
    [way],
  );

  function hold(event: Event) {
    const isForm = content.current?.querySelector("form") != null;
    if (keeps || (changed.current && isForm)) event.preventDefault();
  }

  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Overlay className="dialog__veil" />
        <Dialog.Content
          ref={draw}
          className={`dialog ${wide ? "dialog--wide" : ""}`}
          onInput={() => {
            changed.current = true;
          }}
          onEscapeKeyDown={hold}
          onInteractOutside={hold}
          onCloseAutoFocus={(event) => {
            event.preventDefault();
            goBack(way);
          }}
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
