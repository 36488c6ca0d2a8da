import { Fragment } from "react";
import { useT, type Key } from "@/shared/i18n";
import { Modal } from "@/shared/ui/Modal";

const SHORTCUTS: [Key, string[]][] = [
  ["keys.newChat", ["Ctrl", "Shift", "O"]],
  ["keys.palette", ["Ctrl", "K"]],
  ["keys.focus", ["Shift", "Esc"]],
  ["keys.send", ["Enter"]],
  ["keys.newline", ["Shift", "Enter"]],
  ["keys.stop", ["Esc"]],
  ["keys.editLast", ["↑"]],
  ["keys.previous", ["Alt", "↑"]],
  ["keys.next", ["Alt", "↓"]],
  ["keys.help", ["Ctrl", "/"]],
];

export function KeyboardHelp({ onClose }: { onClose: () => void }) {
  const t = useT();
  return (
    <Modal title={t("app.keyboard")} onClose={onClose}>
      <dl className="shortcuts">
        {SHORTCUTS.map(([what, combination]) => (
          <Fragment key={what}>
            <dt>{t(what)}</dt>
            <dd>
              {combination.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </Fragment>
        ))}
      </dl>
    </Modal>
  );
}
