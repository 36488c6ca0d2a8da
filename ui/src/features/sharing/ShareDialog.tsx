import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Conversation } from "@/shared/api/types";
import { useT } from "@/shared/i18n";
import { useFormats } from "@/shared/i18n/format";
import { at } from "@/shared/root";
import { Button, IconButton } from "@/shared/ui/controls";
import { CopyButton } from "@/shared/ui/CopyButton";
import { ErrorNotice } from "@/shared/ui/ErrorNotice";
import { Modal } from "@/shared/ui/Modal";
import { sharesQuery, useRevokeShare, useShare, type Share } from "./api";
import "./sharing.css";

const DAYS = [1, 7, 30, null] as const;
const DAY_MS = 86_400_000;

/** Share a conversation as it stands, by a link that can be revoked. */
export function ShareDialog({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const t = useT();
  const { data, error } = useQuery(sharesQuery(conversation.id));
  const share = useShare(conversation.id);
  const { mutate: revoke } = useRevokeShare(conversation.id);
  const [withSources, setWithSources] = useState(false);
  const [anyone, setAnyone] = useState(false);
  const [days, setDays] = useState<number | null>(30);
  const make = () =>
    share.mutate({
      audience: anyone ? "anyone" : "signed_in",
      with_sources: withSources,
      expires_at: days === null ? null : new Date(Date.now() + days * DAY_MS).toISOString(),
    });
  return (
    <Modal
      // The link is shown this once.
      keeps={share.isPending || share.isSuccess}
      title={t("shares.title")}
      text={t("shares.explain")}
      onClose={onClose}
    >
      {(error ?? share.error) && <ErrorNotice error={error ?? share.error} />}
      <label className="check">
        <input type="checkbox" checked={withSources} onChange={({ target }) => setWithSources(target.checked)} />
        {t("shares.withSources")}
      </label>
      {data?.anyone_allowed && (
        <label className="check">
          <input type="checkbox" checked={anyone} onChange={({ target }) => setAnyone(target.checked)} />
          {t("shares.anyone")}
        </label>
      )}
      <fieldset className="choices">
        <legend>{t("shares.expires")}</legend>
        {DAYS.map((each) => (
          <label key={each ?? "never"} className="choice">
            <input type="radio" name="share-days" checked={days === each} onChange={() => setDays(each)} />
            {each === null ? t("shares.never") : t("shares.days", { count: each })}
          </label>
        ))}
      </fieldset>
      {share.data && <NewLink address={location.origin + at(`/shared/${share.data.token}`)} />}
      {data && data.items.length > 0 && (
        <ul className="shares" aria-label={t("shares.list")}>
          {data.items.map((each) => (
            <Line key={each.id} share={each} onRevoke={() => revoke(each.id)} />
          ))}
        </ul>
      )}
      <div className="dialog__actions">
        <Button onClick={onClose}>{t("app.close")}</Button>
        <Button kind="primary" icon="link" disabled={share.isPending} onClick={make}>
          {t("shares.make")}
        </Button>
      </div>
    </Modal>
  );
}

function NewLink({ address }: { address: string }) {
  const t = useT();
  return (
    <div className="share-link">
      <input
        className="input"
        readOnly
        aria-label={t("shares.link")}
        value={address}
        onFocus={({ target }) => target.select()}
      />
      <CopyButton text={address} label={t("shares.copy")} />
    </div>
  );
}

function Line({ share, onRevoke }: { share: Share; onRevoke: () => void }) {
  const t = useT();
  const { dateTime, date } = useFormats();
  const made = dateTime(share.created_at);
  const facts = [
    t(share.audience === "anyone" ? "shares.forAnyone" : "shares.forSignedIn"),
    share.with_sources && t("shares.sourcesToo"),
    share.expires_at && t("shares.until", { date: date(share.expires_at) }),
  ];
  return (
    <li>
      <span>
        {t("shares.made", { date: made })}
        <small>{facts.filter(Boolean).join(" · ")}</small>
      </span>
      <IconButton small icon="trash" label={t("shares.revoke", { date: made })} onClick={onRevoke} />
    </li>
  );
}
