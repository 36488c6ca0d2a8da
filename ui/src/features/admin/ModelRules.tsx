import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { groupsQuery } from "@/shared/api/groups";
import type { ModelRule, ModelRuleSet } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { ConfirmDialog } from "@/shared/ui/ConfirmDialog";
import { Button, Field, IconButton, TextArea } from "@/shared/ui/controls";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { FormActions } from "@/shared/ui/FormActions";
import { formText } from "@/shared/ui/formText";
import { Modal } from "@/shared/ui/Modal";
import { modelOf, modelRulesQuery, modelText, useDeleteModelRule, useSetModelRule } from "./modelRules";

/** Which models everybody and each group may use. */
export function ModelRules() {
  const t = useT();
  const { data, error } = useQuery(modelRulesQuery);
  const remove = useDeleteModelRule();
  const [editing, setEditing] = useState<ModelRule | "new" | null>(null);
  const [removing, setRemoving] = useState<ModelRule | null>(null);
  const items = data?.items ?? [];
  return (
    <>
      <p>{t("modelRules.explain")}</p>
      {error && <ErrorNotice error={error} />}
      {items.length > 0 && (
        <ul className="users" aria-label={t("modelRules.title")}>
          {items.map((rule) => (
            <Row key={rule.id} rule={rule} onEdit={() => setEditing(rule)} onRemove={() => setRemoving(rule)} />
          ))}
        </ul>
      )}
      <Button icon="plus" onClick={() => setEditing("new")}>
        {t("modelRules.add")}
      </Button>
      {editing && (
        <RuleDialog rule={editing === "new" ? null : editing} rules={items} onClose={() => setEditing(null)} />
      )}
      {removing && (
        <ConfirmDialog
          title={t("modelRules.removeAsk", { name: removing.group ?? t("modelRules.everybody") })}
          work={remove}
          onConfirm={() => remove.mutate(removing.id, { onSuccess: () => setRemoving(null) })}
          onClose={() => setRemoving(null)}
        />
      )}
    </>
  );
}

/** A rule in a line of words. */
function useSummary(): (rule: ModelRule) => string {
  const t = useT();
  return ({ allowed, default_source: source, default_name: name, system_prompt: prompt }) =>
    [
      allowed === null ? t("modelRules.every") : allowed.map(modelText).join(", ") || t("modelRules.no"),
      source && t("modelRules.defaultIs", { model: modelText({ source, name }) }),
      prompt && t("modelRules.hasPrompt"),
    ]
      .filter(Boolean)
      .join(" · ");
}

function Row({ rule, onEdit, onRemove }: { rule: ModelRule; onEdit: () => void; onRemove: () => void }) {
  const t = useT();
  const summary = useSummary();
  return (
    <li className="user">
      <span className="user__name">
        <strong>{rule.group ?? t("modelRules.everybody")}</strong>
        <small>{summary(rule)}</small>
      </span>
      <IconButton icon="pencil" label={t("modelRules.change")} onClick={onEdit} />
      <IconButton icon="trash" label={t("app.delete")} onClick={onRemove} />
    </li>
  );
}

interface RuleDialogProps {
  rule: ModelRule | null;
  /** All that there are: a new one is for whom there is none yet. */
  rules: ModelRule[];
  onClose: () => void;
}

function RuleDialog({ rule, rules, onClose }: RuleDialogProps) {
  const t = useT();
  const save = useSetModelRule();
  const [isListed, setIsListed] = useState((rule?.allowed ?? null) !== null);

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    save.mutate(ruleOf(data, rule ? rule.group_id : groupOf(data), isListed), { onSuccess: onClose });
  }

  return (
    <Modal title={rule ? (rule.group ?? t("modelRules.everybody")) : t("modelRules.add")} onClose={onClose}>
      <form className="dialog-form" onSubmit={submit}>
        {save.error && <ErrorNotice error={save.error} />}
        {!rule && <SubjectField rules={rules} />}
        <AllowedFields allowed={rule?.allowed ?? null} isListed={isListed} onChange={setIsListed} />
        <Field
          label={t("modelRules.default")}
          hint={t("modelRules.defaultHint")}
          name="default"
          spellCheck={false}
          defaultValue={rule?.default_source ? modelText({ source: rule.default_source, name: rule.default_name }) : ""}
        />
        <TextArea
          label={t("modelRules.prompt")}
          hint={t("modelRules.promptHint")}
          name="system_prompt"
          rows={3}
          maxLength={8000}
          defaultValue={rule?.system_prompt ?? ""}
        />
        <FormActions onCancel={onClose} disabled={save.isPending} />
      </form>
    </Modal>
  );
}

const EVERYBODY = "everybody";

/** The group that a new rule is for, null for everybody. */
function groupOf(data: FormData): string | null {
  const chosen = formText(data, "subject");
  return chosen === EVERYBODY ? null : chosen;
}

/** For whom a new rule is: everybody, or a group, that has none yet. */
function SubjectField({ rules }: { rules: ModelRule[] }) {
  const t = useT();
  const { data: groups = [] } = useQuery(groupsQuery);
  const isFree = (wanted: string | null) => !rules.some(({ group_id: id }) => id === wanted);
  return (
    <label className="field">
      <span className="field__label">{t("budgets.for")}</span>
      <select className="input" name="subject" required>
        {isFree(null) && <option value={EVERYBODY}>{t("modelRules.everybody")}</option>}
        {groups
          .filter(({ id }) => isFree(id))
          .map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
      </select>
    </label>
  );
}

interface AllowedFieldsProps {
  allowed: ModelRule["allowed"];
  isListed: boolean;
  onChange: (isListed: boolean) => void;
}

/** Whether every model may be used, or which ones. */
function AllowedFields({ allowed, isListed, onChange }: AllowedFieldsProps) {
  const t = useT();
  return (
    <>
      <label className="field">
        <span className="field__label">{t("modelRules.allowed")}</span>
        <select
          className="input"
          value={isListed ? "listed" : "every"}
          onChange={({ target }) => onChange(target.value === "listed")}
        >
          <option value="every">{t("modelRules.every")}</option>
          <option value="listed">{t("modelRules.only")}</option>
        </select>
      </label>
      {isListed && (
        <TextArea
          label={t("modelRules.list")}
          hint={t("modelRules.listHint")}
          name="allowed"
          rows={4}
          spellCheck={false}
          required
          defaultValue={allowed?.map(modelText).join("\n")}
        />
      )}
    </>
  );
}

/** What the form says, as the server takes it. */
function ruleOf(data: FormData, groupId: string | null, isListed: boolean): ModelRuleSet {
  const fallback = formText(data, "default");
  const lines = (formText(data, "allowed") ?? "").split("\n").filter((line) => line.trim());
  const chosen = fallback ? modelOf(fallback) : null;
  return {
    group_id: groupId,
    allowed: isListed ? lines.map(modelOf) : null,
    default_source: chosen?.source ?? null,
    default_name: chosen?.name ?? null,
    system_prompt: formText(data, "system_prompt"),
  };
}
