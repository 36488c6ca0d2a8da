import { lazy, type ComponentType, type LazyExoticComponent } from "react";
import { loadPart } from "@/shared/api/reachable";

/** A component that is loaded when it is first shown; while the server is away, it waits for it. */
export const lazyPart = <Props>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): LazyExoticComponent<ComponentType<Props>> => lazy(() => loadPart(load));
