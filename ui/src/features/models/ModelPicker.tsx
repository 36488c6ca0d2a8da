import { DropdownMenu } from "radix-ui";
import { useState } from "react";
import type { ModelSource } from "@/shared/api/types";
import { useT, type Translate } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { MenuLabel, MenuLine } from "@/shared/ui/Menu";
import { useProviders, type ProviderModels } from "./api";
import "./models.css";

export interface ChosenModel {
  source: ModelSource | null;
  name: string | null;
}

interface ModelPickerProps {
  chosen: ChosenModel;
  onChoose: (model: ChosenModel) => void;
}

const DEFAULT = "default";
const valueOf = ({ source, name }: ChosenModel): string => (source ? `${source} ${name ?? ""}` : DEFAULT);

function chosenOf(value: string): ChosenModel {
  if (value === DEFAULT) return { source: null, name: null };
  const [source, ...name] = value.split(" ");
  return { source: source as ModelSource, name: name.join(" ") || null };
}

/** The model of a conversation: by provider, with what is known of each. */
export function ModelPicker({ chosen, onChoose }: ModelPickerProps) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const { providers, loading } = useProviders(open);
  const shown = chosen.source ? (chosen.name ?? t(`source.${chosen.source}`)) : t("models.default");
  return (
    <DropdownMenu.Root modal={false} open={open} onOpenChange={setOpen}>
      <DropdownMenu.Trigger asChild>
        <button type="button" className="model-picker" aria-label={`${t("models.picker")}: ${shown}`}>
          <span className="model-picker__name">{shown}</span>
          {chosen.source === "embedded" && <span className="badge">{t("app.demo")}</span>}
          <Icon name="chevron" size={14} />
        </button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu model-menu" side="top" align="end" sideOffset={8} collisionPadding={8}>
          <DropdownMenu.RadioGroup value={valueOf(chosen)} onValueChange={(value) => onChoose(chosenOf(value))}>
            <Choice value={DEFAULT} name={t("models.default")} />
            {loading ? (
              <MenuLabel>{t("models.loading")}</MenuLabel>
            ) : (
              providers.map((provider) => <ProviderChoices key={provider.source} provider={provider} />)
            )}
          </DropdownMenu.RadioGroup>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function ProviderChoices({ provider: { source, available, error, models } }: { provider: ProviderModels }) {
  const t = useT();
  return (
    <>
      <MenuLine />
      <DropdownMenu.Label className="menu__label model-menu__label">
        <span className={`lamp ${available ? "lamp--on" : ""}`} />
        {t(`source.${source}`)}
        {source === "embedded" && <span className="badge">{t("app.demo")}</span>}
        {!available && <span className="model-menu__state">{t("models.unavailable")}</span>}
      </DropdownMenu.Label>
      {source === "embedded" && available && <p className="model-menu__note">{t("models.demoHint")}</p>}
      {!available && error && <p className="model-menu__note">{error}</p>}
      {models.map((model) => (
        <Choice
          key={model.name}
          value={`${source} ${model.name}`}
          name={model.name}
          detail={detailOf(t, model)}
          disabled={!available}
        />
      ))}
    </>
  );
}

/** Context size and capabilities, as far as the provider tells. */
function detailOf(t: Translate, { context_window: tokens, capabilities }: ProviderModels["models"][number]): string {
  const parts = [
    tokens && t("models.context", { count: tokens }),
    capabilities.tools && t("models.tools"),
    capabilities.vision && t("models.vision"),
  ];
  return parts.filter(Boolean).join(" · ");
}

interface ChoiceProps {
  value: string;
  name: string;
  detail?: string | undefined;
  disabled?: boolean;
}

function Choice({ value, name, detail, disabled = false }: ChoiceProps) {
  return (
    <DropdownMenu.RadioItem className="menu__item model-menu__item" value={value} disabled={disabled}>
      <span className="model-menu__text">
        {name}
        {detail && <small>{detail}</small>}
      </span>
      <DropdownMenu.ItemIndicator>
        <Icon name="check" size={16} />
      </DropdownMenu.ItemIndicator>
    </DropdownMenu.RadioItem>
  );
}
