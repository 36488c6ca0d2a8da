import { QueryClientProvider, type QueryClient } from "@tanstack/react-query";
import { Tooltip } from "radix-ui";
import { useEffect, type ReactNode } from "react";
import { LiveRunsContext } from "@/features/chat/live/context";
import type { LiveRuns } from "@/features/chat/live/LiveRuns";
import { onSignedOut } from "@/shared/api/client";
import { keys } from "@/shared/api/keys";
import { keptPerson, onOtherTabs } from "@/shared/api/person";
import type { User } from "@/shared/api/types";
import { I18nProvider } from "@/shared/i18n";
import { LinkGuard } from "@/shared/markdown/LinkGuard";
import { ToastProvider } from "@/shared/ui/Toasts";
import { FailureToasts } from "./FailureToasts";

interface ProvidersProps {
  queries: QueryClient;
  runs: LiveRuns;
  onSignedOut: () => void;
  children: ReactNode;
}

/** Everything that the pages find around them. */
export function Providers({ queries, runs, onSignedOut: leave, children }: ProvidersProps) {
  useEffect(() => {
    return onSignedOut(() => {
      if (queries.getQueryData(keys.me) === undefined) return;
      queries.clear();
      leave();
    });
  }, [queries, leave]);
  useEffect(() => {
    return onOtherTabs(() => {
      const me = queries.getQueryData<User>(keys.me);
      if (me && me.id !== keptPerson()) location.reload();
    });
  }, [queries]);
  return (
    <QueryClientProvider client={queries}>
      <I18nProvider>
        <Tooltip.Provider delayDuration={350} skipDelayDuration={150}>
          <ToastProvider>
            <FailureToasts queries={queries} />
            <LiveRunsContext value={runs}>
              <LinkGuard>{children}</LinkGuard>
            </LiveRunsContext>
          </ToastProvider>
        </Tooltip.Provider>
      </I18nProvider>
    </QueryClientProvider>
  );
}
