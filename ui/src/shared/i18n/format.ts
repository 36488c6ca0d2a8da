import { useMemo } from "react";
import { useI18n } from "./index";

const DAY_MS = 86_400_000;
const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

export interface Formats {
  bytes: (count: number) => string;
  number: (value: number) => string;
  percent: (share: number) => string;
  /** US dollars; below a cent, as many places as it takes. */
  money: (dollars: number) => string;
  duration: (milliseconds: number) => string;
  time: (iso: string) => string;
  date: (iso: string) => string;
  dateTime: (iso: string) => string;
}

/** Whole days between two moments by the local calendar: 0 is today, 1 yesterday. */
export function daysAgo(iso: string, now: Date = new Date()): number {
  const midnight = (date: Date): number => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  return Math.round((midnight(now) - midnight(new Date(iso))) / DAY_MS);
}

export function formatsFor(language: string): Formats {
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 });
  const time = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
  const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", year: "numeric" });
  const dateTime = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const unit = (value: number, name: string, unitDisplay: "short" | "long" = "short"): string =>
    new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay, maximumFractionDigits: 1 }).format(value);
  const money = (dollars: number): Intl.NumberFormat =>
    new Intl.NumberFormat(language, {
      style: "currency",
      currency: "USD",
      ...(dollars !== 0 && Math.abs(dollars) < 0.01 ? { maximumSignificantDigits: 2 } : {}),
    });
  return {
    number: (value) => number.format(value),
    money: (dollars) => money(dollars).format(dollars),
    percent: (share) => percent.format(share),
    bytes: (count) => {
      const step = Math.min(UNITS.length - 1, count > 0 ? Math.floor(Math.log(count) / Math.log(1024)) : 0);
      // Only the plain unit's long form has a plural in every language.
      return unit(count / 1024 ** step, UNITS[step] ?? "byte", step === 0 ? "long" : "short");
    },
    duration: (ms) => (ms < 1000 ? unit(Math.round(ms), "millisecond") : unit(ms / 1000, "second")),
    time: (iso) => time.format(new Date(iso)),
    date: (iso) => date.format(new Date(iso)),
    dateTime: (iso) => dateTime.format(new Date(iso)),
  };
}

/** Numbers, sizes and times as the page's language writes them. */
export function useFormats(): Formats {
  const { language } = useI18n();
  return useMemo(() => formatsFor(language), [language]);
}
