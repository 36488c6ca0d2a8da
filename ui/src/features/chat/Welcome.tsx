import { useT, type Key } from "@/shared/i18n";

const SUGGESTIONS: Key[] = ["chat.suggestion1", "chat.suggestion2", "chat.suggestion3"];

/** What an empty conversation shows. */
export function Welcome({ onPick }: { onPick: (text: string) => void }) {
  const t = useT();
  return (
    <div className="welcome">
      <h1>{t("chat.greeting")}</h1>
      <p>{t("chat.greetingHint")}</p>
      <ul className="welcome__list">
        {SUGGESTIONS.map((key) => (
          <li key={key}>
            <button type="button" className="suggestion" onClick={() => onPick(t(key))}>
              {t(key)}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
