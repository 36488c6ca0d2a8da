import { useQuery } from "@tanstack/react-query";
import { Popover } from "radix-ui";
import type { Tool } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { toolHint, toolTitle } from "@/shared/i18n/tools";
import { Icon } from "@/shared/ui/Icon";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { toolsQuery } from "./api";
import "./tools.css";

interface ToolsMenuProps {
  /** Names of the tools that are on, null where nobody has chosen. */
  chosen: string[] | null;
  onChoose: (names: string[]) => void;
  /** Whether the model can call tools, as far as that is known. */
  able: boolean;
}

/** Says and changes which tools the model may call. */
export function ToolsMenu({ chosen, onChoose, able }: ToolsMenuProps) {
  const t = useT();
  const { data, error } = useQuery(toolsQuery);
  const tools = data?.items ?? [];
  const wanted = chosen ?? data?.default ?? [];
  const on = tools.filter(({ name }) => wanted.includes(name)).map(({ name }) => name);
  const label = !able && on.length > 0 ? t("tools.none") : on.length > 0 ? t("tools.on", { count: on.length }) : t("tools.off");
  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <button type="button" className="state-button tools" data-on={able && on.length > 0} aria-label={`${t("tools.title")}: ${label}`}>
          <Icon name="tool" size={16} />
          {able && on.length > 0 && <span className="tools__count">{on.length}</span>}
        </button>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover tools-menu" side="top" align="start" sideOffset={8} collisionPadding={8} aria-label={t("tools.title")}>
          <p className="tools-menu__title">{t("tools.title")}</p>
          {!able && <p className="tools-menu__note">{t("tools.unable")}</p>}
          {error && <ErrorNotice error={error} />}
          {[...new Set(tools.map(({ source }) => source))].map((source) => (
            <Group
              key={source}
              source={source}
              tools={tools.filter((tool) => tool.source === source)}
              on={on}
              onChange={(names) => onChoose(tools.map(({ name }) => name).filter((name) => names.includes(name)))}
            />
          ))}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

interface GroupProps {
  source: string;
  tools: Tool[];
  on: string[];
  onChange: (names: string[]) => void;
}

function Group({ source, tools, on, onChange }: GroupProps) {
  const t = useT();
  const names = tools.map(({ name }) => name);
  const all = names.every((name) => on.includes(name));
  const title = source === "built-in" ? t("tools.builtIn") : source;
  const without = on.filter((name) => !names.includes(name));
  return (
    <fieldset className="tools-menu__group">
      <legend>
        {title}
        <button
          type="button"
          className="tools-menu__all"
          aria-label={`${t(all ? "tools.switchOff" : "tools.switchOn")}: ${title}`}
          onClick={() => onChange(all ? without : [...without, ...names])}
        >
          {t(all ? "tools.switchOff" : "tools.switchOn")}
        </button>
      </legend>
      {tools.map((tool) => (
        <label key={tool.name} className="check tools-menu__tool">
          <input
            type="checkbox"
            checked={on.includes(tool.name)}
            onChange={({ target }) =>
              onChange(target.checked ? [...on, tool.name] : on.filter((name) => name !== tool.name))
            }
          />
          <span>
            {toolTitle(t, tool)}
            {tool.needs_approval && <span className="badge">{t("tools.asks")}</span>}
            <small>{toolHint(t, tool)}</small>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
