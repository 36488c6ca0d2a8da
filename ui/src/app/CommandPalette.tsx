import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useState, type KeyboardEvent } from "react";
import { conversationsQuery } from "@/features/conversations/api";
import { assistantsQuery } from "@/features/assistants/api";
import { projectsQuery } from "@/features/projects/api";
import { filesQuery } from "@/features/files/api";
import { useMe } from "@/shared/api/me";
import { useActiveLine } from "@/shared/hooks/useActiveLine";
import { useT } from "@/shared/i18n";
import { setTheme } from "@/shared/theme";
import { Icon, type IconName } from "@/shared/ui/Icon";
import { Modal } from "@/shared/ui/Modal";

const MOST_CHATS = 8;
const MOST_FILES = 6;

interface Command {
  key: string;
  icon: IconName;
  name: string;
  /** What stands small beside the name. */
  hint?: string | undefined;
  run: () => void;
}

interface CommandPaletteProps {
  onClose: () => void;
  onNewChat: () => void;
  onHelp: () => void;
}

/** Goes to a chat, a file or an action by a few letters of its name. */
export function CommandPalette({ onClose, onNewChat, onHelp }: CommandPaletteProps) {
  const t = useT();
  const id = useId();
  const [text, setText] = useState("");
  const commands = useCommands(text.trim(), onNewChat, onHelp);
  const { active, point, list, step } = useActiveLine<HTMLUListElement>(commands.length);

  function choose(command: Command | undefined) {
    if (!command) return;
    onClose();
    command.run();
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.key === "Enter" && !event.nativeEvent.isComposing) choose(commands[active]);
    else if (!step(event)) return;
    event.preventDefault();
  }

  return (
    <Modal title={t("palette.title")} onClose={onClose}>
      <input
        className="input"
        role="combobox"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={commands[active] ? `${id}-${active}` : undefined}
        aria-label={t("palette.title")}
        placeholder={t("palette.placeholder")}
        value={text}
        onChange={({ target }) => {
          setText(target.value);
          point(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul className="palette" id={id} ref={list} role="listbox" aria-label={t("palette.results")}>
        {commands.map((command, index) => (
          // The field has the focus and hears the keys.
          // eslint-disable-next-line jsx-a11y/click-events-have-key-events
          <li
            key={command.key}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === active}
            className="palette__line"
            onClick={() => choose(command)}
            onMouseMove={() => point(index)}
          >
            <Icon name={command.icon} size={16} />
            <span className="palette__name">{command.name}</span>
            {command.hint && <small className="palette__hint">{command.hint}</small>}
          </li>
        ))}
      </ul>
      {commands.length === 0 && <p className="palette__none">{t("palette.none")}</p>}
    </Modal>
  );
}

/** The pages, and what can be done from everywhere. */
function useActions(onNewChat: () => void, onHelp: () => void): Command[] {
  const t = useT();
  const me = useMe();
  const navigate = useNavigate();
  const actions: Command[] = [
    { key: "new", icon: "plus", name: t("conversations.new"), run: onNewChat },
    { key: "files", icon: "folder", name: t("nav.files"), run: () => void navigate({ to: "/files" }) },
    { key: "libraries", icon: "library", name: t("libraries.title"), run: () => void navigate({ to: "/libraries" }) },
    { key: "assistants", icon: "assistant", name: t("assistants.title"), run: () => void navigate({ to: "/assistants" }) },
    { key: "prompts", icon: "prompt", name: t("prompts.title"), run: () => void navigate({ to: "/prompts" }) },
    {
      key: "temporary",
      icon: "clock",
      name: t("temporary.on"),
      run: () => void navigate({ to: "/", search: { temporary: true } }),
    },
    { key: "account", icon: "user", name: t("nav.account"), run: () => void navigate({ to: "/account" }) },
    { key: "studio", icon: "graph", name: t("nav.studio"), run: () => void navigate({ to: "/studio/{-$id}", params: {} }) },
    { key: "light", icon: "sliders", name: t("palette.light"), run: () => setTheme("light") },
    { key: "dark", icon: "sliders", name: t("palette.dark"), run: () => setTheme("dark") },
    { key: "help", icon: "keyboard", name: t("app.keyboard"), run: onHelp },
  ];
  if (me?.is_superuser)
    actions.push({ key: "admin", icon: "gauge", name: t("nav.admin"), run: () => void navigate({ to: "/admin" }) });
  return actions;
}

function useCommands(q: string, onNewChat: () => void, onHelp: () => void): Command[] {
  const t = useT();
  const navigate = useNavigate();
  const found = useInfiniteQuery(conversationsQuery(q, false));
  // What was found for other letters is no answer to Enter.
  const chats = found.isPlaceholderData ? [] : (found.data?.pages[0]?.items ?? []);
  const { data: files = [] } = useQuery(filesQuery(null));
  const { data: projects = [] } = useQuery(projectsQuery);
  const { data: assistants = [] } = useQuery(assistantsQuery);
  const actions = useActions(onNewChat, onHelp);
  const fits = ({ name }: { name: string }): boolean => name.toLowerCase().includes(q.toLowerCase());
  return [
    ...(q === "" ? [] : actions.filter(fits)),
    ...chats
      .filter(({ leaf_id, title }) => leaf_id !== null || title)
      .slice(0, MOST_CHATS)
      .map(({ id, title, snippet }): Command => ({
        key: id,
        icon: "chat",
        name: title || t("conversations.untitled"),
        hint: snippet ?? undefined,
        run: () => void navigate({ to: "/c/$id", params: { id } }),
      })),
    ...(q === "" ? [] : projects.filter(fits).slice(0, MOST_FILES)).map(({ id, name }): Command => ({
      key: id,
      icon: "project",
      name,
      hint: t("projects.one"),
      run: () => void navigate({ to: "/projects/$id", params: { id } }),
    })),
    ...(q === "" ? [] : assistants.filter(fits).slice(0, MOST_FILES)).map(({ id, name }): Command => ({
      key: id,
      icon: "assistant",
      name,
      hint: t("assistants.one"),
      run: () => void navigate({ to: "/", search: { assistant: id } }),
    })),
    ...(q === "" ? [] : files.filter(fits).slice(0, MOST_FILES)).map(({ id, name }): Command => ({
      key: id,
      icon: "file",
      name,
      run: () => void navigate({ to: "/files", search: { open: id } }),
    })),
    ...(q === "" ? actions : []),
  ];
}
