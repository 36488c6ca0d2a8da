import { useQuery } from "@tanstack/react-query";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { errorsQuery } from "./api";

/** The newest errors, by the request id that the log knows them by. */
export function Errors() {
  const t = useT();
  const { dateTime } = useFormats();
  const { data } = useQuery(errorsQuery);
  if (!data) return null;
  if (data.items.length === 0) return <p>{t("admin.noErrors")}</p>;
  return (
    // The table scrolls, so the keyboard has to reach it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="errors" tabIndex={0} role="region" aria-label={t("admin.errors")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("admin.errorWhen")}</th>
            <th scope="col">{t("admin.errorCode")}</th>
            <th scope="col">{t("admin.errorWhere")}</th>
            <th scope="col">{t("admin.errorRequest")}</th>
          </tr>
        </thead>
        <tbody>
          {data.items.map((error, index) => (
            <tr key={`${error.request_id} ${index}`}>
              <td>{dateTime(error.at)}</td>
              <td>{error.code}</td>
              <td>{error.where}</td>
              <td>
                <code>{error.request_id}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
