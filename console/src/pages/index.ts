/** Every page of the console, in the order of the navigation. One line each. */
import type { ComponentType } from "react";
import { Access } from "./access";
import { Cache } from "./cache";
import { Changes } from "./changes";
import { Costs } from "./costs";
import { Evaluation } from "./evaluation";
import { Live } from "./live";
import { Models } from "./models";
import { Playground } from "./playground";
import { Replays } from "./replays";
import { Routing } from "./routing";

export interface Page {
  /** Its address: `#/replays`. */
  path: string;
  title: string;
  /** `g` and this key go there. */
  key: string;
  group: "Watch" | "Try" | "Change";
  view: ComponentType;
}

export const PAGES: readonly Page[] = [
  { path: "", title: "Live", key: "l", group: "Watch", view: Live },
  { path: "models", title: "Models", key: "m", group: "Watch", view: Models },
  { path: "costs", title: "Costs", key: "c", group: "Watch", view: Costs },
  { path: "replays", title: "Replays", key: "r", group: "Watch", view: Replays },
  { path: "playground", title: "Playground", key: "p", group: "Try", view: Playground },
  { path: "evaluation", title: "Evaluation", key: "e", group: "Try", view: Evaluation },
  { path: "routing", title: "Routing", key: "d", group: "Change", view: Routing },
  { path: "changes", title: "Changes", key: "v", group: "Change", view: Changes },
  { path: "cache", title: "Cache", key: "h", group: "Change", view: Cache },
  { path: "access", title: "Access", key: "a", group: "Change", view: Access },
];
