/**
 * What a JSON Schema asks for, in the few shapes that a form knows how to draw.
 *
 * The schemas are those of `GET /catalog`: pydantic's, with `$ref`, `$defs`, `anyOf` with null,
 * enums, constants, bounds and defaults. What no shape fits is `anything`, and written as JSON.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string | string[];
  title?: string;
  description?: string;
  default?: Json;
  const?: Json;
  enum?: Json[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  maxProperties?: number;
  items?: Schema;
  prefixItems?: Schema[];
  minItems?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
}

export interface Key {
  name: string;
  schema: Schema;
  required: boolean;
}

/** What may stand somewhere. `kind` is one name of several, with that one's settings. */
export type Shape =
  | { is: "choice"; values: Json[] }
  | { is: "text"; long: boolean; pattern?: string; minLength?: number; maxLength?: number }
  | { is: "number"; whole: boolean; least?: number; most?: number; above?: number; below?: number }
  | { is: "flag" }
  | { is: "list"; items: Schema; most?: number }
  | { is: "record"; keys: Key[]; several: boolean }
  | { is: "map"; values: Schema }
  | { is: "kind"; names: string[]; settings: Record<string, Schema>; bare: boolean }
  | { is: "either"; options: Schema[] }
  | { is: "anything" };

/** A schema with its references followed; what stands beside a reference counts. */
export function resolved(schema: Schema, root: Schema): Schema {
  let found = schema;
  for (let steps = 0; found.$ref !== undefined && steps < 20; steps++) {
    const name = found.$ref.split("/").pop() ?? "";
    const { $ref: _, ...beside } = found;
    found = { ...root.$defs?.[name], ...beside };
  }
  if (found.allOf?.length === 1 && found.allOf[0]) {
    const { allOf: _, ...beside } = found;
    return { ...resolved(found.allOf[0], root), ...beside };
  }
  return found;
}

/** What may stand there beside nothing. */
export function options(schema: Schema, root: Schema): Schema[] {
  const found = resolved(schema, root);
  const inner = found.anyOf ?? found.oneOf;
  if (inner && found.properties === undefined) {
    return inner.flatMap((each) => options(each, root)).filter((each) => each.type !== "null");
  }
  if (Array.isArray(found.type)) {
    return found.type.filter((type) => type !== "null").map((type) => ({ ...found, type }));
  }
  return [found];
}

/** Whether "nothing" may be written there. */
export function nullable(schema: Schema, root: Schema): boolean {
  const found = resolved(schema, root);
  if (found.type === "null" || (Array.isArray(found.type) && found.type.includes("null"))) return true;
  return (found.anyOf ?? found.oneOf ?? []).some((each) => nullable(each, root));
}

/** How to draw what `schema` asks for. */
export function shapeOf(schema: Schema, root: Schema): Shape {
  const found = options(schema, root);
  const kind = kindOf(found, root);
  if (kind) return kind;
  const choices = found.map((each) => each.enum ?? (each.const === undefined ? undefined : [each.const]));
  if (found.length > 0 && choices.every((each) => each !== undefined)) {
    return { is: "choice", values: choices.flat() as Json[] };
  }
  const [one] = found;
  if (one === undefined) return { is: "anything" };
  if (found.length > 1) return numbersOf(found) ?? { is: "either", options: found };
  return simple(one, root);
}

function simple(one: Schema, root: Schema): Shape {
  switch (one.type) {
    case "string": {
      const long = (one.maxLength ?? 0) > 1000;
      return { is: "text", long, pattern: one.pattern, minLength: one.minLength, maxLength: one.maxLength };
    }
    case "integer":
    case "number":
      return {
        is: "number",
        whole: one.type === "integer",
        least: one.minimum,
        most: one.maximum,
        above: one.exclusiveMinimum,
        below: one.exclusiveMaximum,
      };
    case "boolean":
      return { is: "flag" };
    case "array": {
      const items = one.items ?? one.prefixItems?.[0];
      return items ? { is: "list", items, most: one.maxItems } : { is: "anything" };
    }
    case "object":
      return objectOf(one, root);
    default:
      return { is: "anything" };
  }
}

function objectOf(one: Schema, root: Schema): Shape {
  if (one.properties) {
    const needed = new Set(one.required ?? []);
    const keys = Object.entries(one.properties).map(([name, schema]) => ({
      name,
      schema,
      required: needed.has(name),
    }));
    // where everything is a group of its own and nothing has a default, one adds what one wants
    const several =
      keys.length > 3 &&
      keys.every((key) => !key.required && key.schema.default === undefined && isRecord(key.schema, root));
    return { is: "record", keys, several };
  }
  if (typeof one.additionalProperties === "object") return { is: "map", values: one.additionalProperties };
  return { is: "anything" };
}

function isRecord(schema: Schema, root: Schema): boolean {
  const found = resolved(schema, root);
  return found.type === "object";
}

/** Integer or number is a number. */
function numbersOf(found: Schema[]): Shape | undefined {
  if (!found.every((each) => each.type === "integer" || each.type === "number")) return undefined;
  return { is: "number", whole: false };
}

/** `{name: {its settings}}` with exactly one name, where a bare name may do. */
function kindOf(found: Schema[], root: Schema): Shape | undefined {
  const map = found.find((each) => each.maxProperties === 1 && each.properties !== undefined);
  if (!map?.properties) return undefined;
  const rest = found.filter((each) => each !== map);
  if (!rest.every((each) => each.enum !== undefined)) return undefined;
  const settings = Object.fromEntries(
    Object.entries(map.properties).map(([name, schema]) => [name, resolved(schema, root)]),
  );
  return { is: "kind", names: Object.keys(settings), settings, bare: rest.length > 0 };
}

/** Which of several options a value is; the first where there is none. */
export function optionOf(value: Json | undefined, found: Schema[], root: Schema): number {
  const isIt = (each: Schema) => {
    const tag = tagOf(each, root);
    return fits(value, each) && (!tag || !isMap(value) || value[tag.key] === undefined || value[tag.key] === tag.value);
  };
  const at = found.findIndex(isIt);
  return at < 0 ? 0 : at;
}

/** Whether `value` is of the type that `schema` (resolved) wants, looked at from outside. */
export function fits(value: Json | undefined, schema: Schema): boolean {
  if (value === undefined) return false;
  if (schema.const !== undefined) return value === schema.const;
  if (schema.enum) return schema.enum.includes(value);
  switch (schema.type) {
    case "string":
      return typeof value === "string";
    case "integer":
    case "number":
      return typeof value === "number";
    case "boolean":
      return typeof value === "boolean";
    case "array":
      return Array.isArray(value);
    case "object":
      return isMap(value);
    case "null":
      return value === null;
    default:
      return true;
  }
}

/** Whether a shape can show `value`; what somebody wrote otherwise is shown as it is. */
export function shows(shape: Shape, value: Json | undefined): boolean {
  if (value === undefined || value === null) return true;
  switch (shape.is) {
    case "choice":
      return shape.values.includes(value);
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "flag":
      return typeof value === "boolean";
    case "list":
      return Array.isArray(value);
    case "record":
    case "map":
      return isMap(value);
    case "kind":
      return (typeof value === "string" && shape.bare) || (isMap(value) && Object.keys(value).length === 1);
    default:
      return true;
  }
}

export function isMap(value: Json | undefined): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a fresh value begins as, where one is asked for: its required keys, or the empty one. */
export function fresh(schema: Schema, root: Schema): Json {
  const own = resolved(schema, root);
  if (own.default !== undefined && own.default !== null) return own.default;
  const shape = shapeOf(schema, root);
  switch (shape.is) {
    case "choice":
      return shape.values[0] ?? null;
    case "number":
      return shape.least ?? (shape.above === undefined ? 0 : shape.above + 1);
    case "flag":
      return false;
    case "list":
      return [];
    case "map":
      return {};
    case "record": {
      const needed = shape.keys.filter((key) => key.required).map((key) => [key.name, fresh(key.schema, root)] as const);
      const tag = tagOf(own, root);
      return Object.fromEntries(tag ? [[tag.key, tag.value], ...needed] : needed);
    }
    case "kind": {
      const [first] = shape.names;
      return shape.bare || first === undefined ? (first ?? "") : { [first]: {} };
    }
    case "either": {
      const text = shape.options.find((each) => each.type === "string");
      return fresh(text ?? shape.options[0] ?? {}, root);
    }
    case "anything":
      return {};
    default:
      return "";
  }
}

/** The key that a bare text stands for (`{url: ...}`): the first required one, or the first. */
export function textKey(record: Schema, root: Schema): string | undefined {
  const key = record.required?.[0] ?? Object.keys(record.properties ?? {})[0];
  const schema = key === undefined ? undefined : record.properties?.[key];
  return schema && options(schema, root).some((each) => each.type === "string") ? key : undefined;
}

/** What tells a record from others in its place: the key whose value is given, and that value. */
export function tagOf(record: Schema, root: Schema): { key: string; value: Json } | undefined {
  for (const [key, schema] of Object.entries(record.properties ?? {})) {
    const found = resolved(schema, root).const;
    if (found !== undefined) return { key, value: found };
  }
  return undefined;
}

/** `timeout_s` as `Timeout (s)`: keys as people read them. */
export function labelOf(name: string): string {
  const unit = /_(s|ms|h|b|bytes|per_1m)$/.exec(name);
  const bare = unit ? name.slice(0, unit.index) : name;
  const words = bare.replace(/_/g, " ");
  const shown = unit ? ` (${(unit[1] ?? "").replace("per_1m", "per million")})` : "";
  return words.charAt(0).toUpperCase() + words.slice(1) + shown;
}

/** What a value has to keep, in words: `0 to 1`, `above 0`. */
export function boundsOf(shape: Shape): string {
  if (shape.is !== "number") return "";
  const { least, most, above, below } = shape;
  if (least !== undefined && most !== undefined) return `${least} to ${most}`;
  if (above !== undefined) return most === undefined ? `above ${above}` : `above ${above}, up to ${most}`;
  if (least !== undefined) return below === undefined ? `${least} or more` : `${least} to under ${below}`;
  if (most !== undefined) return `up to ${most}`;
  return "";
}
