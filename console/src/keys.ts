/** Keys that work on every page: `g` and a letter, `/`, `?`. None while something is typed. */
import { useEffect, useRef } from "react";

interface Keys {
  go: (key: string) => void;
  search: () => void;
  help: () => void;
}

/** How long after `g` its letter may come. */
const PATIENCE_MS = 1500;

export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let since = -Infinity;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      if (document.querySelector("dialog[open]")) return;
      if (performance.now() - since < PATIENCE_MS) {
        since = -Infinity;
        latest.current.go(event.key);
      } else if (event.key === "g") {
        since = performance.now();
      } else if (event.key === "/") {
        event.preventDefault();
        latest.current.search();
      } else if (event.key === "?") {
        event.preventDefault();
        latest.current.help();
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}
