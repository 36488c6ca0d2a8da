import { useState } from "react";
import { contentUrl } from "@/shared/api/pictures";
import { useT } from "@/shared/i18n";
import { Modal } from "./Modal";

interface PictureProps {
  fileId: string;
  name?: string;
  small?: boolean;
}

/** An uploaded picture, small; a click shows it whole. One that is gone is not drawn. */
export function Picture({ fileId, name, small = false }: PictureProps) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const [gone, setGone] = useState(false);
  const label = name ?? t("picture.title");
  if (gone) return null;
  return (
    <>
      <button
        type="button"
        className={`picture ${small ? "picture--small" : ""}`}
        aria-label={t("picture.show", { name: label })}
        onClick={() => setOpen(true)}
      >
        <img src={contentUrl(fileId)} alt="" loading="lazy" onError={() => setGone(true)} />
      </button>
      {open && (
        <Modal wide title={label} onClose={() => setOpen(false)}>
          <img className="picture__whole" src={contentUrl(fileId)} alt={label} />
        </Modal>
      )}
    </>
  );
}
