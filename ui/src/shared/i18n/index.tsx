import { createContext, useCallback, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { en, type Catalogue, type Key } from "./en";
import { loadPart } from "@/shared/api/reachable";
import { fill, type Parameters } from "./fill";

export const LANGUAGES = { en: "English", ru: "Русский" } as const;
export type Language = keyof typeof LANGUAGES;
/** The languages as the browser's voices and ears name them. */
export const LOCALES: Record<Language, string> = { en: "en-US", ru: "ru-RU" };
export type Translate = (key: Key, parameters?: Parameters) => string;

interface I18n {
  /** The language that the page is in. */
  language: Language;
  /** The language that was chosen: the same, but for the moment that its catalogue takes to load. */
  chosen: Language;
  setLanguage: (language: Language) => void;
  t: Translate;
}

const Context = createContext<I18n | null>(null);

const load: Record<Language, () => Promise<Catalogue>> = {
  en: () => Promise.resolve(en),
  ru: () => loadPart(async () => (await import("./ru")).ru),
};

const initialLanguage = (): Language => (document.documentElement.lang === "ru" ? "ru" : "en");

/** Give the page its texts; the Russian catalogue is loaded when it is chosen. */
export function I18nProvider({ children }: { children: ReactNode }) {
  const [wanted, setWanted] = useState<Language>(initialLanguage);
  const [loaded, setLoaded] = useState<{ language: Language; catalogue: Catalogue } | null>(
    wanted === "en" ? { language: "en", catalogue: en } : null,
  );

  useEffect(() => {
    let current = true;
    void load[wanted]().then((catalogue) => {
      if (!current) return;
      document.documentElement.lang = wanted;
      setLoaded({ language: wanted, catalogue });
    });
    return () => {
      current = false;
    };
  }, [wanted]);

  const setLanguage = useCallback((language: Language) => {
    localStorage.setItem("language", language);
    setWanted(language);
  }, []);

  const value = useMemo<I18n | null>(() => {
    if (!loaded) return null;
    const { language, catalogue } = loaded;
    return { language, chosen: wanted, setLanguage, t: (key, parameters) => fill(catalogue[key], language, parameters) };
  }, [loaded, setLanguage, wanted]);

  return value && <Context value={value}>{children}</Context>;
}

export function useI18n(): I18n {
  const value = useContext(Context);
  if (!value) throw new Error("useI18n needs an I18nProvider above it");
  return value;
}

/** The translating function alone. */
export const useT = (): Translate => useI18n().t;

export type { Key, Parameters };
