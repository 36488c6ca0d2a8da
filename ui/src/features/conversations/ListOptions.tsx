import { useT } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { Menu, MenuItem } from "@/shared/ui/Menu";
import { useFilePicker } from "@/shared/ui/useFilePicker";
import { useToast } from "@/shared/ui/Toasts";
import { useImportConversation } from "./api";

interface ListOptionsProps {
  archived: boolean;
  onArchived: (archived: boolean) => void;
  onImported: (id: string) => void;
}

export function ListOptions({ archived, onArchived, onImported }: ListOptionsProps) {
  const t = useT();
  const toast = useToast();
  const take = useImportConversation();

  function importFile(file: File) {
    take.mutate(file, {
      onSuccess: ({ conversation_ids: ids }) => {
        toast({ text: t("conversations.imported", { count: ids.length }) });
        if (ids[0]) onImported(ids[0]);
      },
      onError: () => toast({ text: t("conversations.importFailed") }),
    });
  }

  const { pick, field } = useFilePicker(
    ([file]) => {
      if (file) importFile(file);
    },
    "application/json,.json",
    false,
  );

  return (
    <>
      <Menu
        trigger={
          <button type="button" className="icon-button icon-button--small" aria-label={t("conversations.options")}>
            <Icon name="dots" size={16} />
          </button>
        }
      >
        <MenuItem icon="archive" onSelect={() => onArchived(!archived)}>
          {t(archived ? "conversations.hideArchived" : "conversations.showArchived")}
        </MenuItem>
        <MenuItem icon="upload" onSelect={pick}>
          {t("conversations.import")}
        </MenuItem>
      </Menu>
      {field}
    </>
  );
}
