/** Numbers, money and times as people read them. `null` is a dash: we do not know. */

const DASH = "–";
type Maybe = number | null | undefined;

const missing = (value: Maybe): value is null | undefined => value === null || value === undefined || !Number.isFinite(value);

/** 1234567 -> "1,234,567"; from a million on "1.23 M". */
export function count(value: Maybe): string {
  if (missing(value)) return DASH;
  if (Math.abs(value) >= 1e9) return `${(value / 1e9).toFixed(2)} B`;
  if (Math.abs(value) >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  return value.toLocaleString("en-GB", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

/** 1 -> "1 request", 12 -> "12 requests". */
export function many(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? "" : "s"}`;
}

/** 0.0823 -> "82 µs", 4.2 -> "4.2 ms", 1530 -> "1.53 s". */
export function ms(value: Maybe): string {
  if (missing(value)) return DASH;
  if (value === 0) return "0 ms";
  if (value < 1) return `${(value * 1000).toFixed(0)} µs`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1000) return `${value.toFixed(0)} ms`;
  return seconds(value / 1000);
}

/** 4.26 -> "4.26 s", 75 -> "1 min 15 s", 7300 -> "2 h 2 min". */
export function seconds(value: Maybe): string {
  if (missing(value)) return DASH;
  if (value < 10) return `${value.toFixed(2).replace(/\.?0+$/, "")} s`;
  if (value < 60) return `${value.toFixed(0)} s`;
  const [minutes, rest] = [Math.floor(value / 60), Math.round(value % 60)];
  if (minutes < 60) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  const [hours, left] = [Math.floor(minutes / 60), minutes % 60];
  if (hours < 48) return left ? `${hours} h ${left} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

/** Enough digits to see something: 12.4 USD, 0.0031 USD. */
export function money(value: Maybe, currency = ""): string {
  if (missing(value)) return DASH;
  const size = Math.abs(value);
  const digits = size === 0 ? 2 : size >= 100 ? 0 : size >= 0.1 ? 2 : size >= 0.001 ? 4 : 6;
  const text = value.toLocaleString("en-GB", { minimumFractionDigits: Math.min(digits, 2), maximumFractionDigits: digits });
  return currency ? `${text} ${currency}` : text;
}

/** 0.4567 -> "45.7 %". */
export function percent(value: Maybe, digits = 1): string {
  return missing(value) ? DASH : `${(value * 100).toFixed(digits)} %`;
}

export function bytes(value: Maybe): string {
  if (missing(value)) return DASH;
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) {
    if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
  }
  return `${value} B`;
}

/** The time of day; the date, too, where it is not today's. `at` is seconds since 1970. */
export function time(at: Maybe): string {
  if (missing(at)) return DASH;
  const [then, today] = [new Date(at * 1000), new Date()];
  const clock = then.toLocaleTimeString("en-GB");
  if (then.toDateString() === today.toDateString()) return clock;
  return `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${clock}`;
}

/** "4 s ago". */
export function ago(at: Maybe, now = Date.now() / 1000): string {
  if (missing(at)) return DASH;
  const since = Math.max(0, now - at);
  return since < 1 ? "now" : `${seconds(Math.floor(since))} ago`;
}
