import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "@tanstack/react-router";
import { LiveRuns } from "@/features/chat/live/LiveRuns";
import { at } from "@/shared/root";
import { createQueries, refetchWhenBack } from "./queries";
import { Providers } from "./Providers";
import { createAppRouter } from "./router";
import "./base.css";

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

const queries = createQueries();
refetchWhenBack(queries);
const router = createAppRouter(queries);

// Only where it is served as built: while one edits, yesterday's files would be in the way.
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  addEventListener("load", () => {
    navigator.serviceWorker.register(at("/sw.js"), { scope: at("/") }).catch(() => undefined);
  });
}

createRoot(root).render(
  <StrictMode>
    <Providers queries={queries} runs={new LiveRuns(queries)} onSignedOut={() => void router.invalidate()}>
      <RouterProvider router={router} />
    </Providers>
  </StrictMode>,
);
