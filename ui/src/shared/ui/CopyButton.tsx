import { useEffect, useState } from "react";
import { useT } from "@/shared/i18n";
import { IconButton } from "./controls";

const CONFIRMED_MS = 1500;

/** Copies a text and shows for a moment that it did. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const t = useT();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = window.setTimeout(() => setCopied(false), CONFIRMED_MS);
    return () => window.clearTimeout(timer);
  }, [copied]);
  return (
    <>
      <IconButton
        small
        icon={copied ? "check" : "copy"}
        label={label}
        onClick={() => void copyText(text).then(() => setCopied(true))}
      />
      <span className="visually-hidden" role="status">
        {copied ? t("app.copied") : ""}
      </span>
    </>
  );
}

/** Write to the clipboard; over plain http, where browsers withhold it, by way of a selected field. */
async function copyText(text: string): Promise<void> {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
