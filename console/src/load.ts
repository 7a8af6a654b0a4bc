/** What a page shows comes from the server: loading, loaded, or refused, and loaded again. */
import { useCallback, useEffect, useRef, useState } from "react";
import { api, Refused } from "./api/client";

export interface Loaded<T> {
  /** The last value, also while a newer one is on its way. */
  value: T | undefined;
  error: Refused | null;
  loading: boolean;
  /** Ask again; `quiet` keeps what is shown until there is an answer. */
  again: () => void;
}

/** GET `path` (`null`: not yet), again each `every` ms while the page can be seen. */
export function useLoad<T>(path: string | null, every = 0): Loaded<T> {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{ of: string | null; value?: T; error: Refused | null; loading: boolean }>({
    of: path,
    error: null,
    loading: path !== null,
  });
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    setState((last) => ({ ...(last.of === path ? last : { error: null }), of: path, loading: true }));
    api.get<T>(path, undefined, stop.signal).then(
      (value) => setState({ of: path, value, error: null, loading: false }),
      (error: unknown) => {
        if (stop.signal.aborted) return;
        setState((last) => ({ ...last, error: asRefused(error), loading: false }));
      },
    );
    return () => stop.abort();
  }, [path, turn]);

  const again = useCallback(() => setTurn((last) => last + 1), []);
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => document.visibilityState === "visible" && again(), every);
    return () => clearInterval(timer);
  }, [every, again]);
  const mine = state.of === path;
  return { value: mine ? state.value : undefined, error: mine ? state.error : null, loading: !mine || state.loading, again };
}

export interface Doing<A extends unknown[]> {
  run: (...args: A) => Promise<void>;
  busy: boolean;
  error: Refused | null;
  clear: () => void;
}

/** Something a person starts: one at a time, with its error kept to be shown beside the button. */
export function useDo<A extends unknown[]>(act: (...args: A) => Promise<unknown>): Doing<A> {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Refused | null>(null);
  const latest = useRef(act);
  latest.current = act;
  const running = useRef(false);
  const run = useCallback(async (...args: A) => {
    if (running.current) return;
    running.current = true;
    setBusy(true);
    setError(null);
    try {
      await latest.current(...args);
    } catch (caught) {
      setError(asRefused(caught));
    } finally {
      running.current = false;
      setBusy(false);
    }
  }, []);
  const clear = useCallback(() => setError(null), []);
  return { run, busy, error, clear };
}

export function asRefused(error: unknown): Refused {
  if (error instanceof Refused) return error;
  return new Refused(error instanceof Error ? error.message : String(error), 0, "console", "");
}
