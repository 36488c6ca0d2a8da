import mermaid from "mermaid";
import { useEffect, useId, useState, type ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { useIsDark } from "@/shared/theme";

/**
 * Draw a Mermaid text as an SVG picture.
 *
 * The SVG is shown as an image from memory, where no script runs and nothing is loaded, whatever the text holds.
 */
async function drawn(id: string, code: string, dark: boolean): Promise<string> {
  mermaid.initialize({
    startOnLoad: false,
    securityLevel: "strict",
    htmlLabels: false,
    flowchart: { htmlLabels: false },
    theme: dark ? "dark" : "neutral",
    fontFamily: "system-ui, sans-serif",
    secure: ["secure", "securityLevel", "startOnLoad", "maxTextSize", "htmlLabels", "flowchart", "themeCSS", "fontFamily"],
    suppressErrorRendering: true,
  });
  const { svg } = await mermaid.render(id, code);
  return URL.createObjectURL(new Blob([inNaturalSize(svg)], { type: "image/svg+xml" }));
}

/** Give a drawing the width and height of what is drawn: mermaid makes it as wide as whatever it stands in. */
export function inNaturalSize(svg: string): string {
  const box = /<svg[^>]*\bviewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"/.exec(svg);
  if (!box) return svg;
  return svg.replace(/<svg[^>]*>/, (tag) =>
    tag.replace(/\s(?:width|height)="[^"]*"/g, "").replace(/>$/, ` width="${box[1]}" height="${box[2]}">`),
  );
}

type State = { picture: string } | "failed" | null;

export default function Diagram({ code, source }: { code: string; source: ReactNode }) {
  const t = useT();
  const dark = useIsDark();
  const id = `diagram${useId().replace(/\W/g, "")}`;
  const [state, setState] = useState<State>(null);

  useEffect(() => {
    let current = true;
    let picture: string | null = null;
    drawn(id, code, dark).then(
      (url) => {
        picture = url;
        if (current) setState({ picture: url });
        else URL.revokeObjectURL(url);
      },
      () => current && setState("failed"),
    );
    return () => {
      current = false;
      if (picture) URL.revokeObjectURL(picture);
    };
  }, [id, code, dark]);

  if (state === null) return source;
  if (state === "failed")
    return (
      <>
        {source}
        <p className="md-note">{t("chat.diagramFailed")}</p>
      </>
    );
  return (
    <figure className="md-diagram">
      <img src={state.picture} alt={`${t("chat.diagram")}: ${code}`} />
    </figure>
  );
}
