import { useT } from "@/shared/i18n";
import { Button } from "./controls";

interface MoreButtonProps {
  query: { hasNextPage: boolean; isFetching: boolean; fetchNextPage: () => Promise<unknown> };
}

/** Loads the next page of a list, where there is one. */
export function MoreButton({ query }: MoreButtonProps) {
  const t = useT();
  if (!query.hasNextPage) return null;
  return (
    <Button disabled={query.isFetching} onClick={() => void query.fetchNextPage()}>
      {t("app.more")}
    </Button>
  );
}
