/** What has passed lately: told by the server as it happens, kept here for as long as it is shown. */
import { useEffect, useRef, useState } from "react";
import { listen } from "../../api/client";
import type { LiveState, Passed } from "../../api/types";

/** So many requests are remembered; the picture's thickness is their traffic. */
const KEPT = 300;
/** How often what is shown follows what came. Dots fly at once, figures need not flicker. */
const SHOWN_EACH_MS = 500;

export interface Feed {
  /** The newest first. */
  passed: readonly Passed[];
  state: LiveState | null;
  /** `null` before the first word of the server. */
  connected: boolean | null;
}

/**
 * Listens until it is unmounted. `seed` are requests that ended earlier; `onPassed` hears of each
 * as it comes, also of those that `paused` keeps out of the list.
 */
export function useFeed(seed: readonly Passed[] | undefined, paused: boolean, onPassed: (passed: Passed[]) => void): Feed {
  const [feed, setFeed] = useState<Feed>({ passed: [], state: null, connected: null });
  const kept = useRef<Passed[]>([]);
  const latest = useRef({ onPassed, paused });
  latest.current = { onPassed, paused };

  useEffect(() => {
    if (!seed || paused) return;
    kept.current = newest([...kept.current, ...seed]);
    setFeed((last) => ({ ...last, passed: kept.current }));
  }, [seed, paused]);

  useEffect(() => {
    let changed = false;
    let state: LiveState | null = null;
    const stop = listen(
      "/live",
      {
        passed: (data) => {
          const came = data as Passed[];
          if (!latest.current.paused) {
            kept.current = newest([...came, ...kept.current]);
            changed = true;
          }
          latest.current.onPassed(came);
        },
        state: (data) => {
          state = data as LiveState;
          changed = true;
        },
      },
      (connected) => setFeed((last) => (last.connected === connected ? last : { ...last, connected })),
    );
    const timer = setInterval(() => {
      if (!changed) return;
      changed = false;
      setFeed((last) => ({ ...last, passed: kept.current, state: state ?? last.state }));
    }, SHOWN_EACH_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, []);
  return feed;
}

/** Without doubles, the newest first. */
function newest(passed: Passed[]): Passed[] {
  const seen = new Map(passed.map((one) => [one.id, one]));
  return [...seen.values()].sort((a, b) => b.at - a.at).slice(0, KEPT);
}
