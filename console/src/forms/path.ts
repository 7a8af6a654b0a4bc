/** Where something is in a configuration, and changing it there without touching the rest. */

import { isMap, type Json } from "./schema";

export type Path = readonly (string | number)[];

/** One change: of no value, it is taken away. */
export interface Edit {
  path: Path;
  value?: Json;
}

export function at(tree: Json | undefined, path: Path): Json | undefined {
  let here: Json | undefined = tree;
  for (const part of path) {
    if (Array.isArray(here) && typeof part === "number") here = here[part];
    else if (isMap(here)) here = here[String(part)];
    else return undefined;
  }
  return here;
}

/** `tree` with one change; maps on the way are made where there are none. */
export function changed(tree: Json | undefined, { path, value }: Edit): Json {
  const [first, ...rest] = path;
  if (first === undefined) return value ?? {};
  const inner = rest.length > 0 ? changed(at(tree, [first]), { path: rest, value }) : value;
  if (Array.isArray(tree) || (tree === undefined && typeof first === "number")) {
    const list = [...((tree as Json[] | undefined) ?? [])];
    const index = Number(first);
    if (inner === undefined) list.splice(index, 1);
    else list[index] = inner;
    return list;
  }
  const map = isMap(tree) ? { ...tree } : {};
  if (inner === undefined) delete map[String(first)];
  else map[String(first)] = inner;
  return map;
}

/** Edits with one more. What is typed letter by letter is one edit; order is kept otherwise. */
export function further(edits: readonly Edit[], edit: Edit): Edit[] {
  const last = edits.at(-1);
  const again = last !== undefined && samePath(last.path, edit.path);
  // an entry of a list that was taken away is gone: the next one has its place
  const replaces = again && last.value !== undefined && edit.value !== undefined;
  return replaces ? [...edits.slice(0, -1), edit] : [...edits, edit];
}

export function samePath(a: Path, b: Path): boolean {
  return a.length === b.length && a.every((part, i) => part === b[i]);
}

/** As error messages write it: `routing.decisions[0].when`. */
export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text ? `.${part}` : part;
  }
  return text;
}

/** Whether a problem at `where` is about `path`, or something in it. */
export function isWithin(where: string, path: Path): boolean {
  const text = pathText(path);
  if (where === text || text === "") return true;
  return where.startsWith(text) && (where[text.length] === "." || where[text.length] === "[");
}
