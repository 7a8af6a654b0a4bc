/** Every page of the console, in the order of the navigation. One line each. */
import type { ComponentType } from "react";
import type { Me } from "../api/types";
import { Live } from "./live";
import { Playground } from "./playground";
import { Replays } from "./replays";

export interface Page {
  /** Its address: `#/replays`. */
  path: string;
  title: string;
  /** `g` and this key go there. */
  key: string;
  group: "Watch" | "Try" | "Change";
  view: ComponentType;
  /** Whether there is anything to it here; a page without stays, and says how to have it. */
  has?: (has: Me["has"]) => boolean;
}

export const PAGES: readonly Page[] = [
  { path: "", title: "Live", key: "l", group: "Watch", view: Live },
  { path: "replays", title: "Replays", key: "r", group: "Watch", view: Replays, has: (has) => has.replay },
  { path: "playground", title: "Playground", key: "p", group: "Try", view: Playground },
];
