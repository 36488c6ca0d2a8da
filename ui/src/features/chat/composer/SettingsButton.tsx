import { useQuery } from "@tanstack/react-query";
import { Popover } from "radix-ui";
import { useId, useState } from "react";
import type { Conversation } from "@/shared/api/types";
import { usePatchConversation } from "@/shared/api/conversation";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { Button, Field, IconButton, TextArea } from "@/shared/ui/controls";
import { conversationUsageQuery } from "../api";
import { EFFORTS, PRESETS, type ChatParameters } from "../parameters";

interface SettingsProps {
  conversation: Conversation | null;
  /** The system prompt of a conversation that does not exist yet. */
  firstPrompt: string;
  onFirstPrompt: (prompt: string) => void;
  parameters: ChatParameters;
  onParameters: (parameters: ChatParameters) => void;
}

const numberOf = (text: string): number | undefined => (text === "" ? undefined : Number(text));

const without = (parameters: ChatParameters): ChatParameters =>
  Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== undefined));

/** System prompt and parameters of this conversation. */
export function SettingsButton({ conversation, firstPrompt, onFirstPrompt, parameters, onParameters }: SettingsProps) {
  const t = useT();
  const id = useId();
  const prompt = conversation ? conversation.system_prompt : firstPrompt.trim();
  // What is searched is said beside.
  const isSet = Boolean(prompt) || Object.keys(parameters).some((name) => name !== "use_rag");
  // What is not saved yet outlives the window that it is typed into, which closes at a click beside it.
  const [draft, setDraft] = useState<{ id: string; text: string } | null>(null);
  const set = (part: ChatParameters) => onParameters(without({ ...parameters, ...part }));
  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <IconButton
          icon="sliders"
          className={isSet ? "icon-button--marked" : ""}
          label={isSet ? t("chat.settingsSet") : t("chat.settings")}
        />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover settings" side="top" align="start" sideOffset={8} collisionPadding={8} aria-label={t("chat.settings")}>
          <div className="settings__presets" role="group" aria-label={t("chat.presets")}>
            {(Object.keys(PRESETS) as (keyof typeof PRESETS)[]).map((preset) => (
              <Button
                key={preset}
                aria-pressed={parameters.temperature === PRESETS[preset].temperature}
                onClick={() => set(PRESETS[preset])}
              >
                {t(`chat.preset.${preset}`)}
              </Button>
            ))}
          </div>
          <div className="settings__row">
            <Field
              label={t("chat.temperature")}
              type="number"
              min={0}
              max={2}
              step={0.1}
              placeholder={t("chat.default")}
              value={parameters.temperature ?? ""}
              onChange={(event) => set({ temperature: numberOf(event.target.value) })}
            />
            <Field
              label={t("chat.topK")}
              type="number"
              min={1}
              max={50}
              placeholder={t("chat.default")}
              value={parameters.top_k ?? ""}
              onChange={(event) => set({ top_k: numberOf(event.target.value) })}
            />
          </div>
          <Field
            label={t("chat.maxTokens")}
            type="number"
            min={1}
            placeholder={t("chat.default")}
            value={parameters.max_tokens ?? ""}
            onChange={(event) => set({ max_tokens: numberOf(event.target.value) })}
          />
          <fieldset className="choices">
            <legend>{t("chat.effort")}</legend>
            {[undefined, ...EFFORTS].map((effort) => (
              <label key={effort ?? "default"} className="choice">
                <input
                  type="radio"
                  name={`${id}-effort`}
                  checked={parameters.reasoning_effort === effort}
                  onChange={() => set({ reasoning_effort: effort })}
                />
                {t(effort ? `chat.effort.${effort}` : "chat.default")}
              </label>
            ))}
          </fieldset>
          {conversation ? (
            <SystemPrompt
              conversation={conversation}
              text={draft?.id === conversation.id ? draft.text : (conversation.system_prompt ?? "")}
              onText={(text) => setDraft({ id: conversation.id, text })}
              onSaved={() => setDraft(null)}
            />
          ) : (
            <TextArea
              label={t("chat.systemPrompt")}
              rows={3}
              placeholder={t("chat.systemPromptHint")}
              value={firstPrompt}
              onChange={({ target }) => onFirstPrompt(target.value)}
            />
          )}
          {conversation?.leaf_id && <UsageLine id={conversation.id} />}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** What the conversation has cost so far. */
function UsageLine({ id }: { id: string }) {
  const t = useT();
  const { money } = useFormats();
  const { data } = useQuery(conversationUsageQuery(id));
  if (!data || data.answers === 0) return null;
  const tokens = t("chat.tokens", { count: data.input_tokens + data.output_tokens });
  return (
    <p className="settings__usage">
      {t("chat.soFar", { tokens })}
      {data.priced > 0 && ` · ${money(data.cost_usd)}`}
    </p>
  );
}

interface SystemPromptProps {
  conversation: Conversation;
  text: string;
  onText: (text: string) => void;
  onSaved: () => void;
}

function SystemPrompt({ conversation, text, onText, onSaved }: SystemPromptProps) {
  const t = useT();
  const patch = usePatchConversation();
  return (
    <div className="field">
      <TextArea
        label={t("chat.systemPrompt")}
        rows={3}
        placeholder={t("chat.systemPromptHint")}
        value={text}
        onChange={(event) => onText(event.target.value)}
      />
      <Button
        disabled={patch.isPending || text === (conversation.system_prompt ?? "")}
        onClick={() => patch.mutate({ id: conversation.id, system_prompt: text || null }, { onSuccess: onSaved })}
      >
        {t("app.save")}
      </Button>
    </div>
  );
}
