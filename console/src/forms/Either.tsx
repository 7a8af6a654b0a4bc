/** What may be written in two ways: a bare name or a record, a number or a text. */

import { useId, type ReactNode } from "react";

import { Button } from "../parts";
import { useForm } from "./context";
import { Field } from "./Field";
import { Record, type Of } from "./groups";
import { fits, fresh, isMap, labelOf, optionOf, resolved, shapeOf, tagOf, textKey, type Json, type Schema } from "./schema";

/** A bare text or a record, and other things that may be written in two ways. */
export function Either({
  options,
  value,
  path,
  required,
}: Of & { options: Schema[]; required: boolean }): ReactNode {
  const form = useForm();
  const id = useId();
  const which = optionOf(value, options, form.root);
  const option = options[which] ?? {};
  const turn = (wanted: Schema | undefined) => {
    if (wanted) form.edit(path, converted(value, wanted, form.root));
  };
  const [short, full] = [options.find((each) => each.type === "string"), options.find((each) => each.properties)];
  if (options.length === 2 && short && full) {
    return <ShortOrFull short={short} full={full} isFull={option === full} value={value} path={path} turn={turn} />;
  }
  return (
    <div className="either">
      <div className="setting">
        <label htmlFor={id} className="hidden">
          Written as
        </label>
        <select
          id={id}
          className="input short"
          value={which}
          disabled={form.disabled}
          onChange={(e) => turn(options[Number(e.target.value)])}
        >
          {options.map((each, i) => (
            <option key={i} value={i}>
              {wordFor(each, form.root)}
            </option>
          ))}
        </select>
      </div>
      <Field schema={option} value={value} path={path} required={required} bare label="Value" />
    </div>
  );
}

interface ShortOrFullProps extends Of {
  short: Schema;
  full: Schema;
  isFull: boolean;
  turn: (wanted: Schema) => void;
}

/** A name or an address alone; in full, where more is to be said. */
function ShortOrFull({ short, full, isFull, value, path, turn }: ShortOrFullProps): ReactNode {
  const form = useForm();
  const key = textKey(full, form.root) ?? "name";
  if (!isFull) {
    const { description: _, ...plain } = short;
    return (
      <div className="short-or-full">
        <Field schema={plain} value={value} path={path} required bare label={labelOf(key)} />
        <Button kind="quiet" disabled={form.disabled} onClick={() => turn(full)}>
          More…<span className="hidden"> settings of {String(value ?? "it")}</span>
        </Button>
      </div>
    );
  }
  const shape = shapeOf(full, form.root);
  const alone = isMap(value) && Object.keys(value).length === 1 && typeof value[key] === "string";
  return (
    <>
      {shape.is === "record" && <Record keys={shape.keys} several={false} value={value} path={path} />}
      {alone && (
        <Button kind="quiet" disabled={form.disabled} onClick={() => turn(short)}>
          Only the {labelOf(key).toLowerCase()}
        </Button>
      )}
    </>
  );
}

/** `value` in another of its forms, as far as it can be said there. */
export function converted(value: Json | undefined, wanted: Schema, root: Schema): Json {
  const tag = tagOf(wanted, root);
  if (fits(value, wanted) && value !== undefined && !tag) return value;
  const key = textKey(wanted, root);
  if (wanted.type === "object" && typeof value === "string" && key) return { [key]: value };
  if (wanted.type === "string" && isMap(value)) {
    const texts = Object.values(value).filter((each) => typeof each === "string");
    return texts[0] ?? "";
  }
  if (wanted.type === "array" && value !== undefined && value !== null && !isMap(value)) return [value];
  return fresh(wanted, root);
}

function wordFor(schema: Schema, root: Schema): string {
  const own = resolved(schema, root);
  const tag = tagOf(own, root);
  if (tag) return String(tag.value);
  if (own.const !== undefined) return String(own.const);
  if (own.enum) return own.enum.length === 1 ? String(own.enum[0]) : "one of few";
  const words: { [type: string]: string } = {
    string: "a text",
    object: "in full",
    array: "a list",
    boolean: "yes or no",
    number: "a number",
    integer: "a whole number",
  };
  return words[typeof own.type === "string" ? own.type : ""] ?? "anything";
}
