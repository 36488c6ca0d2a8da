import { drawingOf } from "./drawing";
import { Suspense } from "react";
import { lazyPart } from "@/shared/ui/lazyPart";
import type { Graph } from "@/shared/api/types";

const Diagram = lazyPart(() => import("@/shared/markdown/Diagram"));

/** The graph, drawn from its own description; as text where it can't be drawn. */
export function GraphDrawing({ graph }: { graph: Graph }) {
  const source = (
    <ul className="studio__edges">
      {graph.edges.map((edge, index) => (
        <li key={index}>
          {String(edge["source"])} → {String(edge["target"])}
        </li>
      ))}
    </ul>
  );
  return (
    <Suspense fallback={source}>
      <Diagram code={drawingOf(graph)} source={source} />
    </Suspense>
  );
}
