import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useEffect } from "react";
import { ProjectChats } from "@/features/conversations/ProjectChats";
import { FileChooser } from "@/features/files/FileChooser";
import { LibraryChoice } from "@/features/libraries/LibraryChoice";
import { projectsQuery } from "@/features/projects/api";
import { ProjectPage } from "@/features/projects/ProjectPage";
import { useT } from "@/shared/i18n";
import { NotFoundPage } from "./fallbacks";
import { PageHead } from "./PageHead";
import { RunMark } from "./RunMark";
import { useConversationActions } from "./useConversationActions";

const mark = (conversationId: string) => <RunMark conversationId={conversationId} />;

/** A project with its conversations. */
export function ProjectScreen() {
  const t = useT();
  const navigate = useNavigate();
  const { id = "" } = useParams({ strict: false });
  const { data: projects } = useQuery(projectsQuery);
  const { act, dialog } = useConversationActions();
  const project = projects?.find((each) => each.id === id);
  useEffect(() => {
    if (project) document.title = `${project.name} · ${t("app.name")}`;
  }, [project, t]);
  if (!projects) return null;
  if (!project) return <NotFoundPage />;
  return (
    <>
      <PageHead title={project.name} />
      <ProjectPage
        // What arrives late belongs to the project that it was sent to.
        key={project.id}
        project={project}
        onNewChat={() => void navigate({ to: "/", search: { project: project.id } })}
        onGone={() => void navigate({ to: "/" })}
        chats={
          <ProjectChats
            projectId={project.id}
            onOpen={(conversationId) => void navigate({ to: "/c/$id", params: { id: conversationId } })}
            onAction={act}
            mark={mark}
          />
        }
        libraries={(chosen, onChoose) => <LibraryChoice chosen={chosen} onChoose={onChoose} />}
        files={(chosen, onChoose) => <FileChooser chosen={chosen} onChoose={onChoose} />}
      />
      {dialog}
    </>
  );
}
