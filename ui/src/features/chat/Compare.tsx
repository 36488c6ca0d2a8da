import type { Message } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { Markdown } from "@/shared/markdown/Markdown";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { useLiveState } from "./live/context";
import type { LiveRun } from "./live/LiveRun";

/** An answer and the one that is being written in its place, side by side. */
export function Compare({ answer, run, onClose }: { answer: Message; run: LiveRun; onClose: () => void }) {
  const t = useT();
  const live = useLiveState(run);
  if (!live) return null;
  return (
    <Modal title={t("trace.compare")} wide onClose={onClose}>
      <div className="compare">
        <section>
          <h3>{t("trace.before")}</h3>
          <p className="compare__model">{answer.model_name}</p>
          <Markdown text={answer.content} />
        </section>
        <section aria-busy={live.phase !== "over"}>
          <h3>{t("trace.after")}</h3>
          <p className="compare__model">{live.modelName ?? t("chat.thinking")}</p>
          <Markdown text={live.text} growing={live.phase !== "over"} />
          {live.error && <ErrorNotice error={live.error} />}
        </section>
      </div>
    </Modal>
  );
}
