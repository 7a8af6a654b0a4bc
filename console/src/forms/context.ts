/** What every field of one form shares. */

import { createContext, useContext } from "react";

import type { Problem } from "../api/types";
import { isWithin, pathText, type Path } from "./path";
import type { Json, Schema } from "./schema";

export interface Form {
  /** Whose `$defs` the references are of. */
  root: Schema;
  /** Said what was changed; without a value, it is taken away. */
  edit: (path: Path, value?: Json) => void;
  problems: readonly Problem[];
  disabled: boolean;
  /** Names that may be meant at a place: models, signals. */
  suggest: (path: Path) => readonly string[];
}

export const FormContext = createContext<Form | null>(null);

export function useForm(): Form {
  const form = useContext(FormContext);
  if (!form) throw new Error("a field stands outside of a form");
  return form;
}

/** Problems exactly there. */
export function problemsAt(form: Form, path: Path): Problem[] {
  const text = pathText(path);
  return form.problems.filter((problem) => problem.where === text);
}

/** How many there are there or further in. */
export function problemsWithin(form: Form, path: Path): number {
  return form.problems.filter((problem) => isWithin(problem.where, path)).length;
}
