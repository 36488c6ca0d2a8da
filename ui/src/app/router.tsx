import { loadPart } from "@/shared/api/reachable";
import { ROOT } from "@/shared/root";
import type { ComponentType, FunctionComponent } from "react";
import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  redirect,
} from "@tanstack/react-router";
import { ApiError } from "@/shared/api/errors";
import { meQuery } from "@/shared/api/me";
import { Settled } from "@/shared/ui/Settled";
import { ErrorPage, NotFoundPage } from "./fallbacks";
import { ConversationScreen } from "./ConversationScreen";
import { Shell } from "./Shell";
import { SignInScreen } from "./SignInScreen";

interface Context {
  queries: QueryClient;
}

/** A page that is loaded when one goes there, and shown when all its parts are; while the server is away, it waits for it. */
function screen<Name extends string>(load: () => Promise<Record<Name, ComponentType>>, name: Name) {
  const Page = lazyRouteComponent<Record<Name, ComponentType>, Name>(() => loadPart(load), name);
  const Inner: ComponentType = Page;
  const Screen = () => (
    <Settled>
      <Inner />
    </Settled>
  );
  // The router waits for it before it shows the page; without, the whole window is blank meanwhile.
  Screen.preload = Page.preload;
  return Screen;
}

const rootRoute = createRootRouteWithContext<Context>()({
  errorComponent: ErrorPage,
  notFoundComponent: NotFoundPage,
});

const signInRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sign-in",
  /**
   * `to` is where one wanted to go, `problem` the code of what kept a sign-in through a provider from its end,
   * `invitation` the token of a link by which one makes an account.
   */
  validateSearch: ({
    to,
    problem,
    invitation,
  }: Record<string, unknown>): { to?: string; problem?: string; invitation?: string } => ({
    ...(typeof invitation === "string" ? { invitation } : {}),
    ...(typeof to === "string" && /^\/(?![/\\])/.test(to) ? { to } : {}),
    ...(typeof problem === "string" ? { problem } : {}),
  }),
  component: SignInScreen,
});

const resetRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/reset-password",
  component: screen(() => import("./ResetScreen"), "ResetScreen"),
});

const sharedRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/shared/$token",
  component: screen(() => import("./SharedScreen"), "SharedScreen"),
});

/** Everything but these needs somebody who is signed in. */
const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "shell",
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queries.ensureQueryData(meQuery);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const to = location.href === "/" ? undefined : location.href;
      // TanStack Router redirects by what is thrown.
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      throw redirect({ to: "/sign-in", search: { to } });
    }
  },
  component: Shell,
});

const page = <Path extends string>(path: Path, component: FunctionComponent) =>
  createRoute({ getParentRoute: () => shellRoute, path, component });

/** What a new chat begins with. */
export interface Beginning {
  project?: string;
  assistant?: string;
  temporary?: true;
}

const newChatRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/",
  validateSearch: ({ project, assistant, temporary }: Record<string, unknown>): Beginning => ({
    ...(typeof project === "string" ? { project } : {}),
    ...(typeof assistant === "string" ? { assistant } : {}),
    ...(temporary === true ? { temporary } : {}),
  }),
  component: ConversationScreen,
});
const chatRoute = createRoute({ getParentRoute: () => shellRoute, path: "/c/$id", component: ConversationScreen });
const filesRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/files",
  /** `open` is the id of the file that is looked at. */
  validateSearch: (search: Record<string, unknown>): { open?: string } =>
    typeof search["open"] === "string" ? { open: search["open"] } : {},
  component: screen(() => import("./FilesScreen"), "FilesScreen"),
});
const accountRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/account",
  /** `problem` is the code of what kept an identity from being added. */
  validateSearch: ({ problem }: Record<string, unknown>): { problem?: string } =>
    typeof problem === "string" ? { problem } : {},
  component: screen(() => import("./AccountScreen"), "AccountScreen"),
});
const adminRoute = page("/admin", screen(() => import("./AdminScreen"), "AdminScreen"));
const assistantsRoute = page("/assistants", screen(() => import("./AssistantsScreen"), "AssistantsScreen"));
const librariesRoute = page("/libraries", screen(() => import("./LibrariesScreen"), "LibrariesScreen"));
const libraryRoute = page("/libraries/$id", screen(() => import("./LibraryScreen"), "LibraryScreen"));
const groupsRoute = page("/groups", screen(() => import("./GroupsScreen"), "GroupsScreen"));
const promptsRoute = page("/prompts", screen(() => import("./PromptsScreen"), "PromptsScreen"));
const projectRoute = page("/projects/$id", screen(() => import("./ProjectScreen"), "ProjectScreen"));
const studioRoute = page("/studio/{-$id}", screen(() => import("./StudioScreen"), "StudioScreen"));

const routeTree = rootRoute.addChildren([
  signInRoute,
  resetRoute,
  sharedRoute,
  shellRoute.addChildren([
    newChatRoute,
    chatRoute,
    filesRoute,
    assistantsRoute,
    librariesRoute,
    libraryRoute,
    groupsRoute,
    promptsRoute,
    projectRoute,
    accountRoute,
    adminRoute,
    studioRoute,
  ]),
]);

export function createAppRouter(queries: QueryClient) {
  return createRouter({ routeTree, basepath: ROOT || "/", context: { queries }, defaultPreload: false });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
