import {
  useEffect,
  useRef,
  useState,
  type ClipboardEvent,
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  type RefObject,
} from "react";
import { useT } from "@/shared/i18n";
import { Icon } from "@/shared/ui/Icon";
import { Tip } from "@/shared/ui/controls";
import { DictateButton } from "./DictateButton";

/** Who may take a key of the field before the field does; says whether it has. */
export interface FieldKeys {
  onKeyDown: (event: KeyboardEvent) => boolean;
}

interface ComposerProps {
  keys: RefObject<FieldKeys | null>;
  field: RefObject<HTMLTextAreaElement | null>;
  text: string;
  onText: (text: string) => void;
  running: boolean;
  /** Whether files of this message are on their way: it waits for them. `failed` where one of them was lost. */
  sending: "no" | "yes" | "failed";
  onSend: () => void;
  /** Called instead of `onSend` while an answer is being written: the message goes out behind it. */
  onQueue: () => void;
  onStop: () => void;
  onEditLast: () => void;
  onFiles: (files: File[]) => void;
  /** What is attached, above the text. */
  attachments: ReactNode;
  /** Controls left of the send button. */
  tools: ReactNode;
}

/** Where the message is written: Enter sends, Shift+Enter breaks the line. */
export function Composer(props: ComposerProps) {
  const { field, keys, text, onText, running, sending, onSend, onQueue, onStop, onEditLast, onFiles, attachments, tools } = props;
  const t = useT();
  const empty = text.trim() === "";
  useGrowing(field, text);

  function go() {
    if (running) onQueue();
    else onSend();
  }
  const [waits, wait] = useWaiting(text, sending, go);

  function submit() {
    if (empty) return;
    if (sending === "yes") wait();
    else go();
  }

  function onKeyDown(event: KeyboardEvent) {
    if (event.nativeEvent.isComposing || keys.current?.onKeyDown(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      submit();
    } else if (event.key === "ArrowUp" && text === "") {
      event.preventDefault();
      onEditLast();
    }
  }

  function onPaste(event: ClipboardEvent) {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    onFiles(files);
  }

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {attachments}
      {waits && (
        <p className="queued" role="status">
          {t("chat.waitsForFiles")}
        </p>
      )}
      <textarea
        ref={field}
        className="composer__text"
        dir="auto"
        aria-label={t("chat.message")}
        placeholder={t("chat.placeholder")}
        rows={1}
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={onKeyDown}
        onPaste={onPaste}
      />
      <div className="composer__tools">
        {tools}
        <DictateButton text={text} onText={onText} />
        {running ? (
          // The second click of a double one on "Send" is not meant for what stands there by then.
          <RoundButton label={t("chat.stop")} icon="stop" onClick={({ detail }) => detail < 2 && onStop()} />
        ) : (
          <RoundButton label={t("chat.send")} icon="send" submit disabled={empty} />
        )}
      </div>
    </form>
  );
}

/**
 * Keep a message until its files are there. What is typed meanwhile, and a file that was lost, give it back to whoever
 * writes: it waits for this text, with these files.
 */
function useWaiting(text: string, sending: ComposerProps["sending"], go: () => void): [boolean, () => void] {
  const [waiting, setWaiting] = useState<string | null>(null);
  const act = useRef(go);
  useEffect(() => {
    act.current = go;
  });
  useEffect(() => {
    if (waiting === null || (sending === "yes" && waiting === text)) return;
    setWaiting(null);
    if (sending === "no" && waiting === text) act.current();
  }, [waiting, sending, text]);
  return [waiting !== null, () => setWaiting(text)];
}

interface RoundButtonProps {
  label: string;
  icon: "stop" | "send";
  submit?: boolean;
  disabled?: boolean;
  onClick?: (event: MouseEvent) => void;
}

function RoundButton({ label, icon, submit = false, disabled = false, onClick }: RoundButtonProps) {
  return (
    <Tip text={label}>
      <button
        key={icon}
        type={submit ? "submit" : "button"}
        className="composer__send"
        aria-label={label}
        disabled={disabled}
        onClick={onClick}
      >
        <Icon name={icon} size={18} />
      </button>
    </Tip>
  );
}

/** Let the field grow with its text, for browsers without `field-sizing`. */
function useGrowing(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  const native = useRef(CSS.supports("field-sizing", "content"));
  useEffect(() => {
    const element = field.current;
    if (!element || native.current) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [field, text]);
}
