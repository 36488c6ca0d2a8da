import { ApiError } from "@/shared/api/errors";
import { useI18n, type Key, type Translate } from "@/shared/i18n";
import { en } from "@/shared/i18n/en";

/** Say an error in the page's language where the catalogue knows its code, else in the server's words. */
export function errorText(t: Translate, language: string, error: unknown): string {
  if (!(error instanceof ApiError)) return t("error.internal_error");
  const key = `error.${error.code}`;
  const serversOwnWords = language === "en" && error.message && error.code !== "rate_limited" && error.code !== "network";
  if (!serversOwnWords && key in en) return t(key as Key, { seconds: error.retryAfter ?? 60 });
  return error.message || t("error.internal_error");
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
  const requestId = error instanceof ApiError && error.status >= 500 ? error.requestId : null;
  return (
    <div className="notice notice--error" role="alert">
      {say(error)}
      {error instanceof ApiError && error.code === "validation_error" && error.details.map((line) => <small key={line} lang="en">{line}</small>)}
      {requestId && <small>{t("app.requestId", { id: requestId })}</small>}
    </div>
  );
}
