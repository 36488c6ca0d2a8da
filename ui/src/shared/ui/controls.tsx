import { Tooltip } from "radix-ui";
import { useEffect, useId, useRef, type ComponentProps, type ReactNode } from "react";
import { useT } from "@/shared/i18n";
import { isReachedByKey } from "./focus";
import { Icon, type IconName } from "./Icon";
import "./ui.css";

type ButtonProps = ComponentProps<"button"> & { kind?: "primary" | "danger" | "quiet"; icon?: IconName };

export function Button({ kind, icon, className = "", children, ...rest }: ButtonProps) {
  return (
    <button type="button" className={`button ${kind ? `button--${kind}` : ""} ${className}`} {...rest}>
      {icon && <Icon name={icon} size={16} />}
      {children}
    </button>
  );
}

type IconButtonProps = Omit<ComponentProps<"button">, "children"> & { icon: IconName; label: string; small?: boolean };

/** A button that shows an icon; its name is what assistive technology reads and the tooltip shows. */
export function IconButton({ icon, label, small = false, className = "", ...rest }: IconButtonProps) {
  return (
    <Tip text={label}>
      <button
        type="button"
        aria-label={label}
        className={`icon-button ${small ? "icon-button--small" : ""} ${className}`}
        {...rest}
      >
        <Icon name={icon} size={small ? 16 : 18} />
      </button>
    </Tip>
  );
}

/** A hint on what the pointer rests on, or what a key has reached. */
export function Tip({ text, children }: { text: ReactNode; children: ReactNode }) {
  return (
    <Tooltip.Root>
      <Tooltip.Trigger asChild onFocus={(event) => !isReachedByKey(event.currentTarget) && event.preventDefault()}>
        {children}
      </Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content className="tooltip" sideOffset={6} collisionPadding={8}>
          {text}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  );
}

interface LabelledProps {
  label: string;
  hint?: string | undefined;
  children: (field: { id: string; "aria-describedby": string | undefined }) => ReactNode;
}

/** What stands above and below a field. */
function Labelled({ label, hint, children }: LabelledProps) {
  const id = useId();
  const hintId = hint ? `${id}-hint` : undefined;
  return (
    <div className="field">
      <label className="field__label" htmlFor={id}>
        {label}
      </label>
      {children({ id, "aria-describedby": hintId })}
      {hint && (
        <span className="field__hint" id={hintId}>
          {hint}
        </span>
      )}
    </div>
  );
}

type FieldProps = Omit<ComponentProps<"input">, "id"> & { label: string; hint?: string };

/** A labelled input. */
export function Field({ label, hint, ...rest }: FieldProps) {
  return (
    <Labelled label={label} hint={hint}>
      {(field) => <input {...field} className="input" {...rest} />}
    </Labelled>
  );
}

type TextAreaProps = Omit<ComponentProps<"textarea">, "id"> & { label: string; hint?: string };

/** A labelled field of several lines. */
export function TextArea({ label, hint, ...rest }: TextAreaProps) {
  return (
    <Labelled label={label} hint={hint}>
      {(field) => <textarea {...field} className="input" dir="auto" {...rest} />}
    </Labelled>
  );
}

/** A field for a code of an authenticator app, ready to be typed into. */
export function CodeField({ hint }: { hint?: string }) {
  const t = useT();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    input.current?.focus();
  }, []);
  return (
    <Field
      ref={input}
      label={t("auth.code")}
      name="code"
      hint={hint}
      autoComplete="one-time-code"
      autoCapitalize="none"
      spellCheck={false}
      maxLength={64}
      required
    />
  );
}

/** A bar of a share between 0 and 1, with a name for assistive technology. */
export function ProgressBar({ share, label }: { share: number; label: string }) {
  const percent = Math.round(Math.min(1, Math.max(0, share)) * 100);
  return (
    <div className="bar" role="progressbar" aria-label={label} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
      <div className="bar__fill" style={{ width: `${percent}%` }} />
    </div>
  );
}

export function Spinner({ label }: { label: string }) {
  return <span className="spinner" role="status" aria-label={label} />;
}
