import { useNavigate } from "@tanstack/react-router";
import { AssistantsPage } from "@/features/assistants/AssistantsPage";
import { FileChooser } from "@/features/files/FileChooser";
import { LibraryChoice } from "@/features/libraries/LibraryChoice";
import { useTakesTools } from "@/features/models/api";
import { ModelPicker, type ChosenModel } from "@/features/models/ModelPicker";
import { ToolsMenu } from "@/features/tools/ToolsMenu";
import { useT } from "@/shared/i18n";
import { PageHead } from "./PageHead";

interface ToolsOfModelProps {
  chosen: string[] | null;
  onChoose: (names: string[]) => void;
  model: ChosenModel;
}

function ToolsOfModel({ model, ...rest }: ToolsOfModelProps) {
  return <ToolsMenu {...rest} able={useTakesTools(model)} />;
}

/** Assistants: one's own and shared ones. */
export function AssistantsScreen() {
  const t = useT();
  const navigate = useNavigate();
  return (
    <>
      <PageHead title={t("assistants.title")} />
      <AssistantsPage
        onChat={({ id }) => void navigate({ to: "/", search: { assistant: id } })}
        model={(chosen, onChoose) => <ModelPicker chosen={chosen} onChoose={onChoose} />}
        tools={(chosen, onChoose, model) => <ToolsOfModel chosen={chosen} onChoose={onChoose} model={model} />}
        libraries={(chosen, onChoose) => <LibraryChoice chosen={chosen} onChoose={onChoose} />}
        files={(chosen, onChoose) => <FileChooser chosen={chosen} onChoose={onChoose} />}
      />
    </>
  );
}
