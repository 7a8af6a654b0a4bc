/** A decision's rule: a signal, or all, any or none of further rules. Read and put into words. */

import { isMap, type Json } from "../../forms/schema";

export type Sort = "signal" | "all" | "any" | "not" | "other";
export const TESTS = ["gt", "gte", "lt", "lte", "eq"] as const;
export const SIGNS: Record<(typeof TESTS)[number], string> = { gt: ">", gte: "≥", lt: "<", lte: "≤", eq: "=" };

export function sortOf(rule: Json | undefined): Sort {
  if (typeof rule === "string") return "signal";
  if (!isMap(rule)) return "other";
  for (const sort of ["signal", "all", "any", "not"] as const) {
    if (rule[sort] !== undefined) return sort;
  }
  return "other";
}

/** `kind:name` of a rule that is about one signal. */
export function signalOf(rule: Json | undefined): string {
  if (typeof rule === "string") return rule;
  return isMap(rule) && typeof rule["signal"] === "string" ? rule["signal"] : "";
}

/** The rules that an `all` or `any` is made of. */
export function partsOf(rule: Json | undefined): Json[] {
  if (!isMap(rule)) return [];
  const inner = rule["all"] ?? rule["any"];
  return Array.isArray(inner) ? inner : [];
}

/** As one would say it: `domain:math and not (keyword:homework or keyword:exam)`. */
export function inWords(rule: Json | undefined, inside = false): string {
  switch (sortOf(rule)) {
    case "signal":
      return signalOf(rule) + testOf(rule);
    case "all":
    case "any": {
      const word = sortOf(rule) === "all" ? " and " : " or ";
      const parts = partsOf(rule).map((part) => inWords(part, true));
      if (parts.length === 0) return "(nothing yet)";
      return inside && parts.length > 1 ? `(${parts.join(word)})` : parts.join(word);
    }
    case "not":
      return `not ${inWords(isMap(rule) ? rule["not"] : undefined, true)}`;
    default:
      return rule === undefined || rule === null ? "always" : "(not a rule)";
  }
}

function testOf(rule: Json | undefined): string {
  if (!isMap(rule)) return "";
  return TESTS.filter((test) => typeof rule[test] === "number")
    .map((test) => ` ${SIGNS[test]} ${String(rule[test])}`)
    .join("");
}

/** Every signal that a rule names. */
export function signalsOf(rule: Json | undefined): string[] {
  switch (sortOf(rule)) {
    case "signal":
      return [signalOf(rule)];
    case "not":
      return signalsOf(isMap(rule) ? rule["not"] : undefined);
    default:
      return partsOf(rule).flatMap(signalsOf);
  }
}

/** A rule in another form that keeps what it says as far as it can. */
export function turned(rule: Json | undefined, into: Sort): Json {
  const sort = sortOf(rule);
  const parts = sort === "all" || sort === "any" ? partsOf(rule) : rule === undefined || rule === null ? [] : [rule];
  if (into === "all") return { all: parts };
  if (into === "any") return { any: parts };
  if (into === "not") return { not: rule ?? "" };
  return signalsOf(rule)[0] ?? "";
}

/** The signals that rules of a recipe may name: its own, and what is worked out from them. */
export function knownSignals(recipe: Json | undefined): string[] {
  if (!isMap(recipe)) return [];
  const found: string[] = [];
  const kinds = isMap(recipe["signals"]) ? recipe["signals"] : {};
  for (const [kind, rules] of Object.entries(kinds)) {
    if (isMap(rules)) found.push(...Object.keys(rules).map((name) => `${kind}:${name}`));
  }
  const worked = isMap(recipe["projections"]) ? recipe["projections"] : {};
  const named = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
  for (const score of named(worked["scores"])) found.push(...nameOf(score));
  for (const mapping of named(worked["mappings"])) {
    if (isMap(mapping)) for (const band of named(mapping["outputs"])) found.push(...nameOf(band));
  }
  return found;
}

function nameOf(entry: Json): string[] {
  return isMap(entry) && typeof entry["name"] === "string" ? [`projection:${entry["name"]}`] : [];
}
