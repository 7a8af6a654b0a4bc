/**
 * What is being written: the file's text, its tree, and what was changed in forms since.
 *
 * Forms change the tree at once and remember an edit; the server applies edits to the text, so that
 * comments and order stay. A draft outlives its page: it is kept until it is saved or discarded.
 */

import { useCallback, useEffect, useState } from "react";

import { api } from "../../api/client";
import type { Config, Edited } from "../../api/types";
import { at, changed, further, type Edit, type Path } from "../../forms/path";
import type { Json } from "../../forms/schema";
import { asRefused } from "../../load";
import type { Refused } from "../../api/client";

/** So many edits the server takes in one request. */
const AT_ONCE = 200;

interface State {
  config: Config;
  text: string;
  tree: Json;
  /** Not in the text yet. */
  waiting: Edit[];
  /** Since the file was read, so that they can be made again on a newer one. */
  made: Edit[];
  /** Whether somebody typed into the text, which cannot be made again. */
  typed: boolean;
  /** Whether the tree is older than the text. */
  stale: boolean;
}

export interface Draft extends State {
  dirty: boolean;
  edit: (path: Path, value?: Json) => void;
  type: (text: string) => void;
  /** The text with everything in it, and the tree that it is; refused where it is no YAML. */
  settle: () => Promise<string>;
  discard: () => void;
  /** What is in force from now on. */
  saved: (config: Config) => void;
  /** Read the file again and make the same changes there, as far as forms made them. */
  onTop: () => Promise<void>;
}

let kept: State | null = null;

function begun(config: Config): State {
  const tree = config.tree as Json;
  return { config, text: config.text, tree, waiting: [], made: [], typed: false, stale: false };
}

export function isDirty(state: State): boolean {
  return state.waiting.length > 0 || state.text !== state.config.text;
}

export function useDraft(): { draft: Draft | null; error: Refused | null; again: () => void } {
  const [state, setState] = useState<State | null>(kept);
  const [error, setError] = useState<Refused | null>(null);
  const put = useCallback((next: State) => {
    kept = next;
    setState(next);
  }, []);
  const load = useCallback(() => {
    setError(null);
    api.get<Config>("/config").then(
      (config) => {
        // what somebody has begun stays, with the etag that it was begun on
        if (kept === null || !isDirty(kept)) put(begun(config));
      },
      (problem: unknown) => setError(asRefused(problem)),
    );
  }, [put]);
  useEffect(load, [load]);
  const discard = useCallback(() => {
    if (kept !== null) put(begun(kept.config));
    load(); // somebody may have saved another one meanwhile
  }, [put, load]);
  const dirty = state !== null && isDirty(state);
  useEffect(() => {
    if (!dirty) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [dirty]);
  return { draft: state && { ...state, dirty, discard, ...acts(state, put) }, error, again: load };
}

function acts(state: State, put: (next: State) => void): Omit<Draft, keyof State | "dirty" | "discard"> {
  const now = () => kept ?? state;
  return {
    edit: (path, value) => {
      const edit: Edit = value === undefined ? { path } : { path, value };
      const before = now();
      if (value === undefined && at(before.tree, path) === undefined) return;
      put({
        ...before,
        tree: changed(before.tree, edit),
        waiting: further(before.waiting, edit),
        made: further(before.made, edit),
      });
    },
    type: (text) => put({ ...now(), text, typed: true, stale: true }),
    settle: async () => {
      const before = now();
      if (before.waiting.length === 0 && !before.stale) return before.text;
      let done: Edited = { text: before.text, tree: {} };
      for (let i = 0; i === 0 || i < before.waiting.length; i += AT_ONCE) {
        const edits = before.waiting.slice(i, i + AT_ONCE);
        done = await api.post<Edited>("/config/edit", { text: done.text, edits });
      }
      put({ ...now(), text: done.text, tree: done.tree as Json, waiting: [], stale: false });
      return done.text;
    },
    saved: (config) => put(begun(config)),
    onTop: async () => {
      const { made } = now();
      const config = await api.get<Config>("/config");
      const tree = made.reduce<Json>(changed, config.tree as Json);
      put({ ...begun(config), tree, waiting: made, made });
    },
  };
}
