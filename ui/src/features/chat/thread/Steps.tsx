import { useState } from "react";
import type { Source, Step } from "@/shared/api/types";
import { useT, type Translate } from "@/shared/i18n";
import { toolTitle } from "@/shared/i18n/tools";
import { useFormats } from "@/shared/i18n/format";
import { Button } from "@/shared/ui/controls";
import { Icon, type IconName } from "@/shared/ui/Icon";
import { useDecide } from "../api";
import { useActions } from "./actions";

const ICONS: Record<Step["status"], IconName> = {
  running: "tool",
  waiting: "warn",
  done: "check",
  failed: "warn",
  denied: "close",
};

interface StepsProps {
  steps: Step[];
  sources: Source[];
  conversationId: string;
  /** The run that a decision goes to, and whether it waits for one now. */
  runId: string | null;
  waits: boolean;
}

/** The tools that the model has called, quietly, each with what it was given and what it gave. */
export function Steps({ steps, sources, conversationId, runId, waits }: StepsProps) {
  const t = useT();
  if (steps.length === 0) return null;
  return (
    <ul className="steps" aria-label={t("steps.title")}>
      {steps.map((step) => (
        <li key={step.id}>
          {step.status === "waiting" && runId ? (
            <Approval step={step} conversationId={conversationId} runId={runId} waits={waits} />
          ) : (
            <Done step={step} sources={sources} />
          )}
        </li>
      ))}
    </ul>
  );
}

function Done({ step, sources }: { step: Step; sources: Source[] }) {
  const t = useT();
  const { duration } = useFormats();
  const { citation } = useActions();
  const brought = sources.filter(({ n }) => (step.sources ?? []).includes(n));
  return (
    <details className="step" data-status={step.status}>
      <summary>
        <Icon name={ICONS[step.status]} size={14} />
        <span className="step__title">{toolTitle(t, step)}</span>
        <span className="step__hint">{hintOf(step)}</span>
        <span className="step__state">{stateOf(t, step, duration)}</span>
      </summary>
      <div className="step__body">
        {Object.keys(step.arguments).length > 0 && (
          <>
            <h4>{t("steps.arguments")}</h4>
            <Arguments values={step.arguments} />
          </>
        )}
        {step.result_preview && (
          <>
            <h4>{t("steps.result")}</h4>
            <pre className="step__text" dir="auto">
              {step.result_preview}
            </pre>
          </>
        )}
        {brought.length > 0 && (
          <ul className="sources" aria-label={t("chat.sources")}>
            {brought.map((source) => (
              <li key={source.n}>{citation(source, "name")}</li>
            ))}
          </ul>
        )}
      </div>
    </details>
  );
}

function Arguments({ values }: { values: Step["arguments"] }) {
  return (
    <dl className="step__arguments">
      {Object.entries(values).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd dir="auto">{textOf(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** The first words of what a tool was given. */
const hintOf = (step: Step): string => {
  const [first] = Object.values(step.arguments);
  return first === undefined ? "" : textOf(first);
};

function stateOf(t: Translate, { status, ms }: Step, duration: (ms: number) => string): string {
  if (status === "done") return ms == null ? "" : duration(ms);
  return t(`steps.${status}`);
}

interface ApprovalProps {
  step: Step;
  conversationId: string;
  runId: string;
  waits: boolean;
}

/** A call that waits for a person: what would be done, and whether it may. */
function Approval({ step, conversationId, runId, waits }: ApprovalProps) {
  const t = useT();
  const decide = useDecide(conversationId);
  const before = JSON.stringify(step.arguments, null, 2);
  const [editing, setEditing] = useState(false);
  const [text, setText] = useState(before);
  const edited = parsed(text);
  const busy = decide.isPending || decide.isSuccess || !waits;
  const title = toolTitle(t, step);

  function approve(always: boolean) {
    if (!edited) return;
    const changed = text !== before;
    decide.mutate({
      runId,
      decision: { step_id: step.id, decision: changed ? "edit" : "approve", ...(changed ? { arguments: edited } : {}) },
      ...(always ? { always: step.name } : {}),
    });
  }

  return (
    <section className="approval" aria-label={t("steps.approve.title", { name: title })}>
      <p className="approval__title">
        <Icon name="warn" size={16} />
        {t("steps.approve.title", { name: title })}
      </p>
      {editing ? (
        <textarea
          className="input approval__edit"
          aria-label={t("steps.arguments")}
          aria-invalid={edited === null}
          rows={Math.min(12, text.split("\n").length + 1)}
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
      ) : (
        <Arguments values={step.arguments} />
      )}
      {edited === null && <p className="approval__wrong">{t("steps.approve.invalid")}</p>}
      <div className="approval__actions">
        <Button kind="primary" disabled={busy || edited === null} onClick={() => approve(false)}>
          {t("steps.approve")}
        </Button>
        <Button
          disabled={busy}
          onClick={() => decide.mutate({ runId, decision: { step_id: step.id, decision: "deny" } })}
        >
          {t("steps.deny")}
        </Button>
        <Button kind="quiet" disabled={busy || edited === null} onClick={() => approve(true)}>
          {t("steps.always")}
        </Button>
        {!editing && (
          <Button kind="quiet" icon="pencil" disabled={busy} onClick={() => setEditing(true)}>
            {t("steps.edit")}
          </Button>
        )}
      </div>
    </section>
  );
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
