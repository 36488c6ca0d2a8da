import type { Message } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { useActions } from "./actions";
import { versions } from "./rows";

/** Arrows between the versions of a message that was edited or answered again. */
export function Versions({ message }: { message: Message }) {
  const t = useT();
  const { show, busy } = useActions();
  const ids = versions(message);
  if (ids.length < 2) return null;
  const index = ids.indexOf(message.id);
  const step = (by: number) => {
    const id = ids[index + by];
    if (id) show(id);
  };
  return (
    <span className="versions">
      <IconButton small icon="left" label={t("chat.previous")} disabled={busy || index === 0} onClick={() => step(-1)} />
      <span>{t("chat.version", { index: index + 1, total: ids.length })}</span>
      <IconButton
        small
        icon="right"
        label={t("chat.next")}
        disabled={busy || index === ids.length - 1}
        onClick={() => step(1)}
      />
    </span>
  );
}
