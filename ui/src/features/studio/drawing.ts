import type { Graph } from "@/shared/api/types";

/** Text that Mermaid takes as a label whatever it holds. */
const label = (value: unknown): string => `"${String(value).replaceAll('"', "'")}"`;

/**
 * The graph as Mermaid text, from its nodes and edges: the server's own drawing holds HTML, which is not drawn here.
 *
 * Ends are round, conditional edges dotted.
 */
export function drawingOf({ nodes, edges }: Graph): string {
  const names = new Map(nodes.map((node, index) => [node["id"], `n${index}`]));
  const boxes = nodes.map((node) => {
    const name = names.get(node["id"]);
    const text = label(String(node["id"]).replaceAll("_", ""));
    return String(node["id"]).startsWith("__") ? `${name}([${text}])` : `${name}[${text}]`;
  });
  const lines = edges.flatMap((edge) => {
    const [from, to] = [names.get(edge["source"]), names.get(edge["target"])];
    return from && to ? [`${from} ${edge["conditional"] ? "-.->" : "-->"} ${to}`] : [];
  });
  return ["graph TD", ...boxes, ...lines].join("\n");
}
