import { useCallback, useRef, type ReactNode } from "react";

interface FilePicker {
  /** Opens the system's own dialog. */
  pick: () => void;
  /** The field behind it, to be put anywhere on the page. */
  field: ReactNode;
}

/** Lets people choose files in the system's dialog; `accept` is as in HTML. */
export function useFilePicker(onFiles: (files: File[]) => void, accept?: string, multiple = true): FilePicker {
  const input = useRef<HTMLInputElement>(null);
  const pick = useCallback(() => input.current?.click(), []);
  const field = (
    <input
      ref={input}
      type="file"
      accept={accept}
      multiple={multiple}
      hidden
      tabIndex={-1}
      onChange={({ target }) => {
        const files = [...(target.files ?? [])];
        // The same file may be chosen again.
        target.value = "";
        if (files.length > 0) onFiles(files);
      }}
    />
  );
  return { pick, field };
}
