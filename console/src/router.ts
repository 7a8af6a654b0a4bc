/**
 * Where we are: the address after `#`, as `#/replays/abc?decision=hard`. A hash needs nothing
 * from the server, survives a reload, and back and forward work by themselves.
 */
import { useSyncExternalStore } from "react";

export interface Place {
  /** The first part: a page's path, "" for the first page. */
  page: string;
  /** What stands behind it: `["abc"]` of `#/replays/abc`. */
  rest: string[];
  query: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const [page = "", ...rest] = path.split("/").filter(Boolean).map(decoded);
  return { page, rest, query: new URLSearchParams(query) };
}

/** The address of a page: `href("replays", ["abc"], { decision: "hard" })`. */
export function href(page: string, rest: string[] = [], query: Record<string, string> = {}): string {
  const kept = Object.entries(query).filter(([, value]) => value !== "");
  const asked = kept.length ? `?${new URLSearchParams(kept)}` : "";
  return `#/${[page, ...rest].map(encodeURIComponent).join("/")}${asked}`;
}

export function go(to: string, replace = false): void {
  if (replace) location.replace(to);
  else location.hash = to;
}

let last = { hash: "", place: placeOf("") };

function now(): Place {
  if (last.hash !== location.hash) last = { hash: location.hash, place: placeOf(location.hash) };
  return last.place;
}

function watch(changed: () => void): () => void {
  addEventListener("hashchange", changed);
  return () => removeEventListener("hashchange", changed);
}

export function usePlace(): Place {
  return useSyncExternalStore(watch, now);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
