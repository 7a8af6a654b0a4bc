/** Recipes of a file: where each stands, and what decisions and signals it has. */

import { at, type Path } from "../../forms/path";
import { isMap, type Json } from "../../forms/schema";
import { signalsOf } from "./rule";

export interface DecisionAt {
  name: string;
  path: Path;
  value: { [key: string]: Json };
}

export interface SignalAt {
  kind: string;
  name: string;
  path: Path;
  value: Json;
  /** Decisions whose rule names it. */
  used: string[];
}

/** `default` is `routing`; the others are under `recipes`. */
export function recipesOf(tree: Json): string[] {
  const more = at(tree, ["recipes"]);
  return ["default", ...(isMap(more) ? Object.keys(more) : [])];
}

export function pathOf(recipe: string): Path {
  return recipe === "default" ? ["routing"] : ["recipes", recipe];
}

export function decisionsOf(tree: Json, recipe: string): DecisionAt[] {
  const list = at(tree, [...pathOf(recipe), "decisions"]);
  if (!Array.isArray(list)) return [];
  return list.map((each, i) => {
    const value = isMap(each) ? each : {};
    const name = typeof value["name"] === "string" ? value["name"] : `(decision ${i + 1})`;
    return { name, value, path: [...pathOf(recipe), "decisions", i] };
  });
}

export function signalsIn(tree: Json, recipe: string): SignalAt[] {
  const kinds = at(tree, [...pathOf(recipe), "signals"]);
  if (!isMap(kinds)) return [];
  const decisions = decisionsOf(tree, recipe);
  return Object.entries(kinds).flatMap(([kind, rules]) =>
    Object.entries(isMap(rules) ? rules : {}).map(([name, value]) => ({
      kind,
      name,
      value,
      path: [...pathOf(recipe), "signals", kind, name],
      used: decisions.filter((each) => signalsOf(each.value["when"]).includes(`${kind}:${name}`)).map((d) => d.name),
    })),
  );
}

/** The names that decisions may choose: models, and their adapters where they have some. */
export function modelsOf(tree: Json): string[] {
  const models = at(tree, ["models"]);
  return isMap(models) ? Object.keys(models) : [];
}

/** A decision's models by name, whichever way they are written. */
export function candidatesOf(value: Json | undefined): string[] {
  if (!Array.isArray(value)) return [];
  return value.map((each) => (isMap(each) ? String(each["model"] ?? "") : String(each)));
}

/** A name that nobody has: `new`, `new 2`. */
export function free(wanted: string, taken: readonly string[]): string {
  if (!taken.includes(wanted)) return wanted;
  for (let i = 2; ; i++) {
    if (!taken.includes(`${wanted} ${i}`)) return `${wanted} ${i}`;
  }
}

/** Where in the console the thing is that a problem is about: `["decisions", name]`. */
export function placeOfProblem(where: string, tree: Json): string[] | null {
  const decision = /^(routing|recipes\.(.+?))\.decisions\[(\d+)\]/.exec(where);
  if (decision) {
    const recipe = decision[2] ?? "default";
    const found = decisionsOf(tree, recipe)[Number(decision[3])];
    return found ? ["decisions", recipe, String(found.path.at(-1))] : null;
  }
  const signal = /^(routing|recipes\.(.+?))\.signals\.(.+)$/.exec(where);
  if (signal) {
    const recipe = signal[2] ?? "default";
    const rest = signal[3] ?? "";
    const found = signalsIn(tree, recipe).find((each) => `${rest}.`.startsWith(`${each.kind}.${each.name}.`));
    return found ? ["signals", recipe, found.kind, found.name] : null;
  }
  const section = /^[a-z_]+/.exec(where)?.[0];
  return section ? ["rest", section] : null;
}
