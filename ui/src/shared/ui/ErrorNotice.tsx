import { ApiError, type Detail } from "@/shared/api/errors";
import { useI18n, type Key, type Translate } from "@/shared/i18n";
import { en } from "@/shared/i18n/en";

/** What a detail says, in the page's language where the catalogue knows it, else as the server has put it. */
interface Line {
  text: string;
  isTranslated: boolean;
}

function lineOf(t: Translate, { loc = [], msg = "", type = "", code = type, limit }: Detail): Line {
  const key = [`reason.${code}`, `rule.${code}`].find((known) => known in en);
  const said = key ? t(key as Key, limit === undefined ? {} : { count: limit }) : "";
  const isTranslated = said !== "" && !said.includes("{count}");
  const rule = isTranslated ? said : msg;
  // A reason is a sentence of its own; a rule is one of a field.
  if (isTranslated && key?.startsWith("reason.")) return { text: rule, isTranslated };
  return { text: [fieldOf(t, loc), rule].filter(Boolean).join(": "), isTranslated };
}

function fieldOf(t: Translate, loc: (string | number)[]): string {
  const name = loc.slice(1).join(".");
  return `field.${name}` in en ? t(`field.${name}` as Key) : name;
}

const linesOf = (t: Translate, error: ApiError): Line[] =>
  error.details.map((detail) => lineOf(t, detail)).filter(({ text }) => text !== "");

/** The one thing that is wrong, where it is only one and the page can say it. */
function onlyLine(t: Translate, error: ApiError): string | null {
  const [line, ...others] = linesOf(t, error);
  return line?.isTranslated && others.length === 0 ? line.text : null;
}

/** What the page says better than the server, in English too. */
const SAID_HERE = new Set(["rate_limited", "network", "validation_error"]);

/** Say an error in the page's language where the catalogue knows its reason or its code, else in the server's words. */
export function errorText(t: Translate, language: string, error: unknown): string {
  if (!(error instanceof ApiError)) return t("error.internal_error");
  const { code, message, retryAfter } = error;
  if (language === "en" && message && !SAID_HERE.has(code)) return message;
  const line = onlyLine(t, error);
  if (line !== null) return line;
  const key = `error.${code}`;
  return key in en ? t(key as Key, { seconds: retryAfter ?? 60 }) : message || t("error.internal_error");
}

export function useErrorText(): (error: unknown) => string {
  const { t, language } = useI18n();
  return (error) => errorText(t, language, error);
}

/** Say why a file could not be read, or not all of it. */
export function useFailureText(): (failure: { code: string; message: string } | null | undefined) => string {
  const { t, language } = useI18n();
  return (failure) => {
    if (!failure) return t("file.failed");
    if (language === "en") return failure.message;
    const key = [`failure.${failure.code}`, `error.${failure.code}`].find((known) => known in en);
    return key ? t(key as Key, { seconds: 60 }) : failure.message;
  };
}

export function ErrorNotice({ error }: { error: unknown }) {
  const { t } = useI18n();
  const say = useErrorText();
  const lines = error instanceof ApiError && error.code === "validation_error" && onlyLine(t, error) === null ? linesOf(t, error) : [];
  const requestId = error instanceof ApiError && error.status >= 500 ? error.requestId : null;
  return (
    <div className="notice notice--error" role="alert">
      {say(error)}
      {lines.map(({ text, isTranslated }) => (
        <small key={text} lang={isTranslated ? undefined : "en"}>
          {text}
        </small>
      ))}
      {requestId && <small>{t("app.requestId", { id: requestId })}</small>}
    </div>
  );
}
