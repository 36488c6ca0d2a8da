import { useT } from "@/shared/i18n";
import { CopyButton } from "@/shared/ui/CopyButton";
import { cutOf, promptOf, type Trace } from "./types";

/** The exact prompt that the model was sent, and what did not fit into it. */
export function Prompt({ trace }: { trace: Trace }) {
  const t = useT();
  const messages = promptOf(trace);
  const cut = cutOf(trace);
  return (
    <section>
      {cut.length > 0 && (
        <>
          <h3>{t("trace.cutTitle")}</h3>
          <ul className="trace__list">
            {cut.map(([kind, count]) => (
              <li key={kind}>
                {kind}: {count}
              </li>
            ))}
          </ul>
        </>
      )}
      <div className="trace__head">
        <h3>{t("trace.prompt")}</h3>
        <CopyButton text={messages.map(({ role, content }) => `${role}:\n${content}`).join("\n\n")} label={t("chat.copy")} />
      </div>
      {messages.map(({ role, content }, index) => (
        <details key={index} className="prompt" open={index === messages.length - 1}>
          <summary>{role}</summary>
          <pre>{content}</pre>
        </details>
      ))}
    </section>
  );
}

/** Everything else that a run has recorded, as it stands. */
export function Details({ trace }: { trace: Trace }) {
  const t = useT();
  const generate = trace.nodes.findLast(({ node }) => node === "generate");
  return (
    <section>
      <h3>{t("trace.parameters")}</h3>
      <dl className="trace__facts">
        {Object.entries({ ...generate?.input, ...generate?.output })
          .filter(([, value]) => value !== null && value !== "")
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{shown(value)}</dd>
            </div>
          ))}
      </dl>
      {trace.checkpoint_id && (
        <p className="trace__note">
          {t("trace.checkpoint")}: <code>{trace.checkpoint_id}</code>
        </p>
      )}
    </section>
  );
}

/** A recorded value for people: the parts of what has parts, one after the other. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join("; ");
  if (typeof value === "object" && value !== null)
    return Object.entries(value)
      .filter(([, part]) => part !== null)
      .map(([name, part]) => `${name} ${shown(part)}`)
      .join(", ");
  return String(value);
}
