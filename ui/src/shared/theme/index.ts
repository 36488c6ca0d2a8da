import { useSyncExternalStore } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const root = (): HTMLElement => document.documentElement;
const isTheme = (value: string | undefined): value is Theme => THEMES.some((theme) => theme === value);

function subscribe(listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(root(), { attributeFilter: ["data-theme"] });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", listener);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", listener);
  };
}

function chosen(): Theme {
  const value = root().dataset["theme"];
  return isTheme(value) ? value : "system";
}

const dark = (): boolean =>
  chosen() === "dark" || (chosen() === "system" && matchMedia("(prefers-color-scheme: dark)").matches);

export function setTheme(theme: Theme): void {
  localStorage.setItem("theme", theme);
  root().dataset["theme"] = theme;
}

/** The chosen theme; the attribute on the root element is its one place. */
export const useTheme = (): Theme => useSyncExternalStore(subscribe, chosen);

/** Whether the page is dark right now. */
export const useIsDark = (): boolean => useSyncExternalStore(subscribe, dark);
