import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { LOCALES, useI18n } from "@/shared/i18n";
import { IconButton } from "@/shared/ui/controls";
import { useToast } from "@/shared/ui/Toasts";

/** What is used of the browsers' speech recognition; TypeScript has no types of it. */
interface Recognition {
  lang: string;
  continuous: boolean;
  onresult: ((event: { resultIndex: number; results: ArrayLike<ArrayLike<{ transcript: string }>> }) => void) | null;
  onerror: ((event: { error: string }) => void) | null;
  onend: (() => void) | null;
  start: () => void;
  stop: () => void;
}

declare global {
  interface Window {
    SpeechRecognition?: new () => Recognition;
    webkitSpeechRecognition?: new () => Recognition;
  }
}

interface DictateButtonProps {
  text: string;
  onText: (text: string) => void;
}

const joined = (text: string, said: string): string => (text === "" ? said : `${text.trimEnd()} ${said}`);

/** Writes what is said behind the text, where the browser can; it is the browser's own service that listens. */
export function DictateButton({ text, onText }: DictateButtonProps) {
  const { t, language } = useI18n();
  const toast = useToast();
  const [listening, setListening] = useState<Recognition | null>(null);
  // Several pieces may be heard before the first one is drawn.
  const latest = useRef({ text, onText });
  useLayoutEffect(() => {
    latest.current = { text, onText };
  }, [text, onText]);
  useEffect(() => () => listening?.stop(), [listening]);
  const Recogniser = window.SpeechRecognition ?? window.webkitSpeechRecognition;
  if (!Recogniser) return null;

  function start(Kind: new () => Recognition) {
    const recognition = new Kind();
    recognition.lang = LOCALES[language];
    recognition.continuous = true;
    recognition.onresult = ({ results, resultIndex }) => {
      for (let index = resultIndex; index < results.length; index += 1) {
        const said = results[index]?.[0]?.transcript.trim();
        if (!said) continue;
        latest.current.text = joined(latest.current.text, said);
        latest.current.onText(latest.current.text);
      }
    };
    recognition.onerror = ({ error }) => {
      if (error !== "aborted" && error !== "no-speech") toast({ text: t("chat.dictateFailed") });
    };
    recognition.onend = () => setListening(null);
    recognition.start();
    setListening(recognition);
  }

  return (
    <IconButton
      icon="mic"
      label={t(listening ? "chat.dictateStop" : "chat.dictate")}
      aria-pressed={listening !== null}
      onClick={() => (listening ? listening.stop() : start(Recogniser))}
    />
  );
}
