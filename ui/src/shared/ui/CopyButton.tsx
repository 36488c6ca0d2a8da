import { useEffect, useState } from "react";
import { useT } from "@/shared/i18n";
import { IconButton } from "./controls";
import { useToast } from "./Toasts";

const CONFIRMED_MS = 1500;

/** Copies a text and shows for a moment that it did; says so where the browser does not let it. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const t = useT();
  const toast = useToast();
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
        onClick={({ currentTarget }) =>
          void copyText(text, currentTarget).then(
            () => setCopied(true),
            () => toast({ text: t("app.notCopied") }),
          )
        }
      />
      <span className="visually-hidden" role="status">
        {copied ? t("app.copied") : ""}
      </span>
    </>
  );
}

/** Write to the clipboard; over plain http, where browsers withhold it, by way of a selected field. */
async function copyText(text: string, button: HTMLElement): Promise<void> {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  // An open dialog takes the focus back from what lies outside of it, and with it the selection.
  (button.closest('[role="dialog"]') ?? document.body).append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  button.focus();
  if (!copied) throw new Error("The browser copies nothing.");
}
