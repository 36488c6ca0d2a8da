import { DropdownMenu } from "radix-ui";
import { useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useMe } from "@/shared/api/me";
import type { ModelSource } from "@/shared/api/types";
import { useT, type Translate } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { MenuLabel, MenuLine } from "@/shared/ui/Menu";
import { defaultModelQuery, useProviders, type ProviderModels } from "./api";
import "./models.css";

export interface ChosenModel {
  source: ModelSource | null;
  name: string | null;
}

interface ModelPickerProps {
  chosen: ChosenModel;
  /** What answers where nothing is chosen, if that is not the server's default: an assistant's model. */
  standard?: string | null;
  /** What is shown where a model has to be chosen; there is no default one then. */
  wanted?: string;
  /** The button that opens the list, where that is not the usual one with the model's name. */
  trigger?: ReactNode;
  onChoose: (model: ChosenModel) => void;
}

const DEFAULT = "default";
const valueOf = ({ source, name }: ChosenModel): string => (source ? `${source} ${name ?? ""}` : DEFAULT);

function chosenOf(value: string): ChosenModel {
  if (value === DEFAULT) return { source: null, name: null };
  const [source, ...name] = value.split(" ");
  return { source: source as ModelSource, name: name.join(" ") || null };
}

interface Named {
  name: string;
  isDemo: boolean;
}

/** What answers where nothing is chosen: an assistant's model, else the server's default, as far as it is known. */
function useUsual(standard: string | null): Named {
  const t = useT();
  const { data } = useQuery(defaultModelQuery);
  if (standard !== null) return { name: standard, isDemo: false };
  return { name: data?.model_name ?? t("models.default"), isDemo: data?.model_source === "embedded" };
}

const named = (t: Translate, { source, name }: ChosenModel, none: Named): Named =>
  source ? { name: name ?? t(`source.${source}`), isDemo: source === "embedded" } : none;

/** The model of a conversation: by provider, with what is known of each. */
export function ModelPicker({ chosen, standard = null, wanted, trigger, onChoose }: ModelPickerProps) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const { providers, loading } = useProviders(open);
  const usual = useUsual(standard);
  const { name: shown, isDemo } = named(t, chosen, wanted === undefined ? usual : { name: wanted, isDemo: false });
  return (
    <DropdownMenu.Root modal={false} open={open} onOpenChange={setOpen}>
      <DropdownMenu.Trigger asChild>
        {trigger ?? (
          <button type="button" className="model-picker" aria-label={`${t("models.picker")}: ${shown}`}>
            <span className="model-picker__name">{shown}</span>
            {isDemo && <span className="badge">{t("app.demo")}</span>}
            <Icon name="chevron" size={14} />
          </button>
        )}
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu model-menu" side="top" align="end" sideOffset={8} collisionPadding={8}>
          <DropdownMenu.RadioGroup value={valueOf(chosen)} onValueChange={(value) => onChoose(chosenOf(value))}>
            {wanted === undefined && <Choice value={DEFAULT} name={t("models.default")} detail={usual.name} />}
            {loading ? (
              <MenuLabel>{t("models.loading")}</MenuLabel>
            ) : (
              providers
                // One that answers and has nothing to offer: nothing of it is allowed, or there.
                .filter(({ available, models }) => !available || models.length > 0)
                .map((provider) => <ProviderChoices key={provider.source} provider={provider} />)
            )}
          </DropdownMenu.RadioGroup>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function ProviderChoices({ provider: { source, available, error, models } }: { provider: ProviderModels }) {
  const t = useT();
  const isAdmin = useMe()?.is_superuser ?? false;
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
      {!available && error && <p className="model-menu__note">{isAdmin ? error : t("models.notSetUp")}</p>}
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

/** Context size, capabilities and price, as far as they are known. */
function detailOf(t: Translate, model: ProviderModels["models"][number]): string {
  const { context_window: tokens, capabilities, cost_input: read, cost_output: written } = model;
  const parts = [
    tokens && t("models.context", { count: tokens }),
    capabilities.tools && t("models.tools"),
    capabilities.vision && t("models.vision"),
    typeof read === "number" && typeof written === "number" && t("models.price", { read, written }),
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
