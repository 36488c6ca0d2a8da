import { Link, Outlet, useNavigate, useParams, useRouterState } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { ConversationList } from "@/features/conversations/ConversationList";
import { ProjectList } from "@/features/projects/ProjectList";
import { useT } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { Icon } from "@/shared/ui/Icon";
import { Logo } from "@/shared/ui/Logo";
import { Announcements } from "./Announcements";
import { ChatUploads } from "./ChatUploads";
import { CommandPalette } from "./CommandPalette";
import { KeyboardHelp } from "./KeyboardHelp";
import { RunMark, useRunNews } from "./RunMark";
import { ShellContext } from "./shellContext";
import { UserMenu } from "./UserMenu";
import { useStored } from "@/shared/hooks/useStored";
import { useEscape } from "@/shared/hooks/useEscape";
import { useConversationActions } from "./useConversationActions";
import { useShortcuts } from "./useShortcuts";
import "./shell.css";

const mark = (conversationId: string) => <RunMark conversationId={conversationId} />;

/** The frame of every page: the conversations at the side, the page beside them. */
export function Shell() {
  const t = useT();
  const navigate = useNavigate();
  const { id } = useParams({ strict: false });
  const pathname = useRouterState({ select: (state) => state.location.pathname });
  const [open, setOpen] = useState(false);
  const [folded, fold] = useStored("sidebar-folded", "");
  const [help, setHelp] = useState(false);
  const [palette, setPalette] = useState(false);
  const { act, dialog } = useConversationActions();
  const search = useRef<HTMLInputElement>(null);
  const currentId = pathname.startsWith("/c/") ? (id ?? null) : null;

  useEffect(() => {
    setOpen(false);
  }, [pathname]);
  const newChat = () => {
    setOpen(false);
    void navigate({ to: "/", search: {} });
  };
  const goTo = (conversationId: string) => void navigate({ to: "/c/$id", params: { id: conversationId } });
  useShortcuts({
    newChat,
    palette: () => setPalette(true),
    help: () => setHelp(true),
    currentId,
    goTo,
  });
  useRunNews(goTo);
  useEscape(open, () => setOpen(false));
  const frame = useMemo(
    () => ({
      openMenu: () => {
        setOpen(true);
        fold("");
      },
    }),
    [fold],
  );

  return (
    <ShellContext value={frame}>
      <a className="skip" href="#main">
        {t("app.skip")}
      </a>
      <div className={`shell ${open ? "shell--open" : ""} ${folded ? "shell--folded" : ""}`}>
        <nav className="sidebar" aria-label={t("app.navigation")}>
          <div className="sidebar__head">
            <Link to="/" className="sidebar__name">
              <Logo />
              {t("app.name")}
            </Link>
            <IconButton className="sidebar__fold" icon="side" label={t("app.foldMenu")} onClick={() => fold("folded")} />
            <IconButton className="sidebar__close" icon="close" label={t("app.closeMenu")} onClick={() => setOpen(false)} />
          </div>
          <button type="button" className="sidebar__new" onClick={newChat}>
            <Icon name="plus" size={18} />
            {t("conversations.new")}
          </button>
          <Link to="/files" className="sidebar__link" activeProps={{ "aria-current": "page" }}>
            <Icon name="folder" size={18} />
            {t("nav.files")}
          </Link>
          <Link to="/libraries" className="sidebar__link" activeProps={{ "aria-current": "page" }}>
            <Icon name="library" size={18} />
            {t("libraries.title")}
          </Link>
          <Link to="/assistants" className="sidebar__link" activeProps={{ "aria-current": "page" }}>
            <Icon name="assistant" size={18} />
            {t("assistants.title")}
          </Link>
          <Link to="/prompts" className="sidebar__link" activeProps={{ "aria-current": "page" }}>
            <Icon name="prompt" size={18} />
            {t("prompts.title")}
          </Link>
          <ProjectList
            currentId={pathname.startsWith("/projects/") ? (id ?? null) : null}
            onOpen={(projectId) => void navigate({ to: "/projects/$id", params: { id: projectId } })}
          />
          <ConversationList
            currentId={currentId}
            search={search}
            onOpen={goTo}
            onGone={newChat}
            onAction={act}
            mark={mark}
          />
          <UserMenu onHelp={() => setHelp(true)} />
        </nav>
        {open && <button type="button" className="shell__veil" aria-label={t("app.closeMenu")} onClick={() => setOpen(false)} />}
        <main id="main" className="shell__page" tabIndex={-1}>
          <Announcements />
          <ChatUploads>
            <Outlet />
          </ChatUploads>
        </main>
      </div>
      {palette && <CommandPalette onClose={() => setPalette(false)} onNewChat={newChat} onHelp={() => setHelp(true)} />}
      {dialog}
      {help && <KeyboardHelp onClose={() => setHelp(false)} />}
    </ShellContext>
  );
}
