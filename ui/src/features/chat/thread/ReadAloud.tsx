import { useEffect, useState } from "react";
import { LOCALES, useI18n } from "@/shared/i18n";
import { spoken } from "@/shared/markdown/spoken";
import { IconButton } from "@/shared/ui/controls";

/** Reads a text aloud, where the browser has a voice. */
export function ReadAloud({ text }: { text: string }) {
  const { t, language } = useI18n();
  const [speaking, setSpeaking] = useState(false);
  useEffect(() => {
    if (!speaking) return;
    return () => speechSynthesis.cancel();
  }, [speaking]);
  if (!("speechSynthesis" in window) || text.trim() === "") return null;

  function start() {
    const words = new SpeechSynthesisUtterance(spoken(text));
    words.lang = /[а-яё]/i.test(text) ? LOCALES.ru : /[a-z]/i.test(text) ? LOCALES.en : LOCALES[language];
    words.onend = words.onerror = () => setSpeaking(false);
    // Another answer may be being read.
    speechSynthesis.cancel();
    speechSynthesis.speak(words);
    setSpeaking(true);
  }

  return (
    <IconButton
      small
      icon={speaking ? "stop" : "speak"}
      label={t(speaking ? "chat.silence" : "chat.readAloud")}
      aria-pressed={speaking}
      onClick={() => (speaking ? setSpeaking(false) : start())}
    />
  );
}
