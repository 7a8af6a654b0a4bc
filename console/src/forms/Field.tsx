/** One setting: its label, what it means, its value, and what is wrong with it. */

import { useId, type ReactNode } from "react";

import { problemsAt, useForm } from "./context";
import { Either } from "./Either";
import { KindOf, List, MapOf, Record } from "./groups";
import { ChoiceInput, FlagInput, JsonInput, LinesInput, NumberInput, TextInput, type Asked } from "./inputs";
import { pathText, type Path } from "./path";
import { Prose } from "./Prose";
import { boundsOf, labelOf, resolved, shapeOf, shows, type Json, type Schema, type Shape } from "./schema";

export interface FieldProps {
  schema: Schema;
  value: Json | undefined;
  path: Path;
  required?: boolean;
  /** In the place of what the key is called. */
  label?: string;
  /** Where what is around it says what it is. */
  bare?: boolean;
}

const GROUPS = new Set(["record", "map", "list", "kind", "either"]);

export function Field({ schema, value, path, required = false, label, bare = false }: FieldProps): ReactNode {
  const form = useForm();
  const id = useId();
  const own = resolved(schema, form.root);
  const wanted = shapeOf(schema, form.root);
  const shape: Shape = shows(wanted, value) ? wanted : { is: "anything" };
  const name = label ?? labelOf(String(path.at(-1) ?? ""));
  const problems = problemsAt(form, path);
  const help = own.description ?? "";
  const asked: Asked = {
    id,
    describedBy: [help && !bare ? `${id}-help` : "", problems.length > 0 ? `${id}-problem` : ""].filter(Boolean).join(" ") || undefined,
    invalid: problems.length > 0,
    path,
    value,
    fallback: own.default,
    required,
  };
  const lines = shape.is === "list" && isText(shape.items, form.root);
  const group = GROUPS.has(shape.is) && !lines;
  const words = (
    <>
      {help && !bare && (
        <p className="setting-help" id={`${id}-help`}>
          <Prose text={help} />
          {boundsOf(shape) && <span className="setting-bounds"> {boundsOf(shape)}.</span>}
        </p>
      )}
    </>
  );
  const wrong = problems.length > 0 && (
    <p className="setting-problem" id={`${id}-problem`}>
      {problems.map((problem) => [problem.message, problem.fix].filter(Boolean).join("; ")).join(" · ")}
    </p>
  );
  if (group) {
    return (
      <fieldset className="setting-group" data-path={pathText(path)} aria-describedby={asked.describedBy}>
        <legend className={bare ? "hidden" : undefined}>
          {name}
          {required && <span className="setting-required"> required</span>}
        </legend>
        {words}
        {wrong}
        <Group shape={shape} asked={asked} />
      </fieldset>
    );
  }
  return (
    <div className="setting" data-path={pathText(path)}>
      <div className={bare ? "setting-head bare" : "setting-head"}>
        <label htmlFor={id} className={bare ? "hidden" : undefined}>
          {name}
          {required && <span className="setting-required"> required</span>}
        </label>
        {value !== undefined && !required && !bare && (
          <button
            type="button"
            className="setting-reset"
            disabled={form.disabled}
            onClick={() => form.edit(path, undefined)}
          >
            Reset<span className="hidden"> {name} to its default</span>
          </button>
        )}
      </div>
      <Simple shape={shape} asked={asked} lines={lines} />
      {words}
      {wrong}
    </div>
  );
}

function Simple({ shape, asked, lines }: { shape: Shape; asked: Asked; lines: boolean }): ReactNode {
  if (lines && shape.is === "list") return <LinesInput asked={asked} most={shape.most} />;
  switch (shape.is) {
    case "text":
      return <TextInput asked={asked} shape={shape} />;
    case "number":
      return <NumberInput asked={asked} shape={shape} />;
    case "choice":
      return <ChoiceInput asked={asked} values={shape.values} />;
    case "flag":
      return <FlagInput asked={asked} />;
    default:
      return <JsonInput asked={asked} />;
  }
}

function Group({ shape, asked }: { shape: Shape; asked: Asked }): ReactNode {
  const { value, path } = asked;
  switch (shape.is) {
    case "record":
      return <Record keys={shape.keys} several={shape.several} value={value} path={path} />;
    case "map":
      return <MapOf values={shape.values} value={value} path={path} />;
    case "list":
      return <List items={shape.items} most={shape.most} value={value} path={path} />;
    case "kind":
      return <KindOf shape={shape} value={value} path={path} fallback={asked.fallback} />;
    case "either":
      return <Either options={shape.options} value={value} path={path} required={asked.required} />;
    default:
      return null;
  }
}

/** Whether every item is a line of text, and no more. */
function isText(items: Schema, root: Schema): boolean {
  return shapeOf(items, root).is === "text";
}
