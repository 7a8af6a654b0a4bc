/** The line as nodes and edges: which there are, and how a request that has passed went. Pure. */
import type { LineMap, Passed } from "../../api/types";

export const COLUMNS = ["Prompts", "Signals", "Decisions", "Models", "Replicas"] as const;

export interface Node {
  id: string;
  /** Index into `COLUMNS`. */
  column: number;
  name: string;
  /** A word before the name: the kind of a signal. */
  kind: string;
  title: string;
}

/** `from>to`. */
export type EdgeId = string;
export const edge = (from: string, to: string): EdgeId => `${from}>${to}`;

export interface Line {
  nodes: Node[];
  edges: EdgeId[];
}

export interface Traffic {
  /** How many went through a node or an edge. */
  all: Map<string, number>;
  errors: Map<string, number>;
  total: number;
}

type Recipe = LineMap["recipes"][number];

const START = "start";
const HERE: Record<string, string> = { cache: "Cache", fast_response: "The router", looper: "Several", error: "Refused" };
/** More than so many in one column are not readable: the ones without traffic go. */
const MOST = 14;

/** How a request went, step by step; each step is the edges that are walked at the same time. */
export function walk(passed: Passed, map: LineMap): EdgeId[][] {
  const recipe = recipeOf(passed, map);
  const decision = decisionOf(passed, map);
  const used = new Set(recipe?.decisions.find((one) => one.name === passed.decision)?.signals);
  const towards = passed.signals.filter((signal) => used.has(signal));
  const read = passed.signals.map((signal) => edge(START, `s:${signal}`));
  const decided = towards.length ? towards.map((signal) => edge(`s:${signal}`, decision)) : [edge(START, decision)];
  const steps = towards.length ? [read, decided] : [[...read, ...decided]];
  const model = modelOf(passed);
  steps.push([edge(decision, model)]);
  if (model.startsWith("m:") && passed.endpoint) steps.push([edge(model, replica(passed.model, passed.endpoint))]);
  return steps;
}

/** What there is according to `map`, and what else was seen. */
export function lineOf(map: LineMap, recipe: Recipe, seen: readonly Passed[]): Line {
  const nodes = new Map<string, Node>();
  const edges = new Set<EdgeId>();
  const add = (id: string, column: number, name: string, kind = "", title = name) => {
    if (!nodes.has(id)) nodes.set(id, { id, column, name, kind, title });
  };
  add(START, 0, "prompts");
  for (const { kind, name } of recipe.signals) {
    add(`s:${kind}:${name}`, 1, name, kind, `${kind}:${name}`);
    edges.add(edge(START, `s:${kind}:${name}`));
  }
  for (const decision of [...recipe.decisions].sort((a, b) => b.priority - a.priority)) {
    add(`d:${decision.name}`, 2, decision.name);
    for (const signal of decision.signals) edges.add(edge(`s:${signal}`, `d:${decision.name}`));
    if (!decision.signals.length) edges.add(edge(START, `d:${decision.name}`));
    for (const model of decision.models) edges.add(edge(`d:${decision.name}`, `m:${model}`));
  }
  for (const model of map.models) {
    add(`m:${model.name}`, 3, model.name, "", model.local ? `${model.name}, local` : model.name);
    for (const endpoint of model.endpoints) {
      add(replica(model.name, endpoint), 4, host(endpoint), "", endpoint);
      edges.add(edge(`m:${model.name}`, replica(model.name, endpoint)));
    }
  }
  for (const passed of seen) {
    const [decision, model] = [decisionOf(passed, map), modelOf(passed)];
    if (decision === "d:") add(decision, 2, "no decision", "", "no decision (none matched, the default model answers)");
    if (decision === "d:!") add(decision, 2, "not decided", "", "not decided (refused before)");
    if (decision === "d:=") add(decision, 2, "as asked", "", "as asked (the client named the model)");
    if (model.startsWith("h:")) {
      const name = HERE[model.slice(2)] ?? model.slice(2);
      add(model, 3, name, "", `${name} (answered without asking one model)`);
    }
    for (const one of walk(passed, map).flat()) edges.add(one);
  }
  const kept = fewer([...nodes.values()], trafficOf(seen, map));
  const there = new Set(kept.map((node) => node.id));
  return { nodes: untangled(kept, edges), edges: [...edges].filter((one) => one.split(">").every((id) => there.has(id))) };
}

/** What went where, of those that were seen. */
export function trafficOf(seen: readonly Passed[], map: LineMap): Traffic {
  const traffic: Traffic = { all: new Map(), errors: new Map(), total: seen.length };
  for (const passed of seen) {
    const edges = walk(passed, map).flat();
    const nodes = new Set(edges.map((one) => one.split(">")[1] ?? ""));
    for (const id of [...edges, ...nodes]) {
      traffic.all.set(id, (traffic.all.get(id) ?? 0) + 1);
      if (failed(passed)) traffic.errors.set(id, (traffic.errors.get(id) ?? 0) + 1);
    }
  }
  return traffic;
}

export const failed = (passed: Passed): boolean => passed.status >= 400 || passed.path === "error";

/** Whether a request went through a node of the picture. */
export function wentThrough(passed: Passed, node: string, map: LineMap): boolean {
  return node === START || walk(passed, map).some((step) => step.some((one) => one.endsWith(`>${node}`)));
}

/** `http://10.0.0.1:8000/v1` -> `10.0.0.1:8000`. */
export function host(endpoint: string): string {
  return endpoint.replace(/^[a-z]+:\/\//, "").replace(/\/.*$/, "");
}

function recipeOf(passed: Passed, map: LineMap): Recipe | undefined {
  return map.recipes.find((recipe) => recipe.decisions.some((decision) => decision.name === passed.decision));
}

function decisionOf(passed: Passed, map: LineMap): string {
  if (passed.decision) return `d:${passed.decision}`;
  if (passed.path === "error" && !passed.model) return "d:!";
  return map.models.some((model) => model.name === passed.requested) ? "d:=" : "d:";
}

function modelOf(passed: Passed): string {
  return passed.path === "model" || (passed.path === "error" && passed.model) ? `m:${passed.model}` : `h:${passed.path}`;
}

function replica(model: string, endpoint: string): string {
  return `e:${model} ${host(endpoint)}`;
}

function fewer(nodes: Node[], traffic: Traffic): Node[] {
  return COLUMNS.flatMap((_, column) => {
    const mine = nodes.filter((node) => node.column === column);
    if (mine.length <= MOST) return mine;
    const busy = [...mine].sort((a, b) => (traffic.all.get(b.id) ?? 0) - (traffic.all.get(a.id) ?? 0)).slice(0, MOST);
    return mine.filter((node) => busy.includes(node));
  });
}

/** Each column in the order of what it is connected with, so that few edges cross. */
function untangled(nodes: Node[], edges: Set<EdgeId>): Node[] {
  const columns = COLUMNS.map((_, column) => nodes.filter((node) => node.column === column));
  const place = new Map<string, number>();
  const settle = (column: Node[]) => column.forEach((node, at) => place.set(node.id, (at + 0.5) / column.length));
  columns.forEach(settle);
  const pairs = [...edges].map((one) => one.split(">") as [string, string]).filter(([from]) => from !== START);
  const order = (index: number, neighbours: (id: string) => string[]) => {
    const column = columns[index] ?? [];
    const weight = new Map(
      column.map((node) => {
        const near = neighbours(node.id).flatMap((id) => place.get(id) ?? []);
        return [node.id, near.length ? near.reduce((sum, at) => sum + at, 0) / near.length : (place.get(node.id) ?? 1)];
      }),
    );
    column.sort((a, b) => (weight.get(a.id) ?? 1) - (weight.get(b.id) ?? 1));
    settle(column);
  };
  // Decisions keep their order, which is their priority; everything else follows them.
  order(1, (id) => pairs.filter(([from]) => from === id).map(([, to]) => to));
  order(3, (id) => pairs.filter(([, to]) => to === id).map(([from]) => from));
  order(4, (id) => pairs.filter(([, to]) => to === id).map(([from]) => from));
  return columns.flat();
}
