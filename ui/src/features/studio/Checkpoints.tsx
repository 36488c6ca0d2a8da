import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import type { Checkpoint } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { checkpointsQuery } from "./api";
import { RunFrom } from "./RunFrom";
import { difference, placeOf, sourcesOf } from "./types";

/** A conversation's checkpoints as a time line; the chosen one with its state and what it changed. */
export function Checkpoints({ conversationId }: { conversationId: string }) {
  const t = useT();
  const { time } = useFormats();
  const { data: checkpoints = [], error, isSuccess } = useQuery(checkpointsQuery(conversationId));
  const [chosenId, setChosenId] = useState<string | null>(null);
  const index = Math.max(
    0,
    chosenId === null
      ? checkpoints.length - 1
      : checkpoints.findIndex(({ checkpoint_id }) => checkpoint_id === chosenId),
  );
  const chosen = checkpoints[index];
  if (error) return <ErrorNotice error={error} />;
  if (isSuccess && !chosen) return <p>{t("studio.none")}</p>;
  return (
    <div className="checkpoints">
      <ol className="checkpoints__line">
        {checkpoints.map((checkpoint) => (
          <li key={checkpoint.checkpoint_id}>
            <button
              type="button"
              className="checkpoint"
              aria-pressed={checkpoint === chosen}
              onClick={() => setChosenId(checkpoint.checkpoint_id)}
            >
              <span>{t("studio.step", { step: checkpoint.step ?? "–" })}</span>
              <strong>{placeOf(checkpoint)}</strong>
              <small>{checkpoint.created_at && time(checkpoint.created_at)}</small>
            </button>
          </li>
        ))}
      </ol>
      {chosen && (
        <State
          checkpoint={chosen}
          before={checkpoints.find(({ checkpoint_id }) => checkpoint_id === chosen.parent_checkpoint_id)}
          runFrom={<RunFrom key={chosen.checkpoint_id} conversationId={conversationId} checkpoint={chosen} />}
        />
      )}
    </div>
  );
}

interface StateProps {
  checkpoint: Checkpoint;
  /** The state that this one was made of; states of a conversation form a tree. */
  before: Checkpoint | undefined;
  runFrom: ReactNode;
}

function State({ checkpoint, before, runFrom }: StateProps) {
  const t = useT();
  const changes = before ? difference(before.values, checkpoint.values) : [];
  const sources = sourcesOf(checkpoint);
  return (
    <div className="checkpoints__state">
      <p>
        <code>{checkpoint.checkpoint_id}</code>
      </p>
      {runFrom}
      {sources.length > 0 && (
        <section aria-label={t("chat.sources")}>
          <h3>{t("chat.sources")}</h3>
          <ol className="studio__sources">
            {sources.map(({ n, name, page, score }) => (
              <li key={n} value={n}>
                {name}
                {page !== null && <small> {t("citation.page", { page })}</small>} <small>{score.toFixed(2)}</small>
              </li>
            ))}
          </ol>
        </section>
      )}
      {changes.length > 0 && (
        <section>
          <h3>{t("studio.difference")}</h3>
          <dl className="changes">
            {changes.map(({ path, before: old, after }) => (
              <div key={path}>
                <dt>{path}</dt>
                {old !== undefined && <dd className="changes__old">{JSON.stringify(old)}</dd>}
                {after !== undefined && <dd className="changes__new">{JSON.stringify(after)}</dd>}
              </div>
            ))}
          </dl>
        </section>
      )}
      <section>
        <h3>{t("studio.state")}</h3>
        <pre className="studio__json">{JSON.stringify(checkpoint.values, null, 2)}</pre>
      </section>
    </div>
  );
}
