/** The fields that hold further fields: records, maps, lists, and one kind of several. */

import { useId, useState, type ReactNode } from "react";

import { Button } from "../parts";
import { Adder, NameAdder } from "./adders";
import { problemsWithin, useForm } from "./context";
import { Field } from "./Field";
import type { Path } from "./path";
import { fresh, isMap, labelOf, shapeOf, type Json, type Key, type Schema, type Shape } from "./schema";

export interface Of {
  value: Json | undefined;
  path: Path;
}

const FEW = 7;

/** A record: what is set or needed first, the rest behind a fold. */
export function Record({ keys, several, value, path }: Of & { keys: Key[]; several: boolean }): ReactNode {
  const form = useForm();
  const map = isMap(value) ? value : {};
  if (several) return <Several keys={keys} value={value} path={path} />;
  const shown = keys.length <= FEW ? keys : keys.filter((key, i) => isFirst(key, i, map));
  const rest = keys.filter((key) => !shown.includes(key));
  const unknown = Object.keys(map).filter((name) => !keys.some((key) => key.name === name));
  const field = (key: Key) => (
    <Field
      key={key.name}
      schema={key.schema}
      value={map[key.name]}
      path={[...path, key.name]}
      required={key.required}
    />
  );
  const wrong = rest.some((key) => problemsWithin(form, [...path, key.name]) > 0);
  return (
    <>
      {shown.map(field)}
      {unknown.map((name) => (
        <Field key={name} schema={{}} value={map[name]} path={[...path, name]} label={`${name} (not known here)`} />
      ))}
      {rest.length > 0 && (
        <Fold summary={`${rest.length} further settings`} open={wrong}>
          {() => rest.map(field)}
        </Fold>
      )}
    </>
  );

  function isFirst(key: Key, index: number, written: { [name: string]: Json }): boolean {
    return key.required || key.name in written || index < 3 || key.name === "threshold";
  }
}

/** A fold whose inside is made when it is opened first: schemas nest deeply. */
export function Fold({
  summary,
  open = false,
  children,
}: {
  summary: ReactNode;
  open?: boolean;
  children: () => ReactNode;
}): ReactNode {
  const [opened, setOpened] = useState(open);
  return (
    <details className="fold" open={opened || open} onToggle={(e) => setOpened(e.currentTarget.open)}>
      <summary>{summary}</summary>
      {(opened || open) && <div className="fold-inside">{children()}</div>}
    </details>
  );
}

/** Groups of which one adds what one wants: plugins by kind. */
function Several({ keys, value, path }: Of & { keys: Key[] }): ReactNode {
  const form = useForm();
  const map = isMap(value) ? value : {};
  const there = Object.keys(map);
  const more = keys.filter((key) => !there.includes(key.name));
  return (
    <>
      {there.map((name) => {
        const key = keys.find((each) => each.name === name);
        return (
          <Item key={name} name={name} remove={() => form.edit([...path, name], undefined)}>
            <Field schema={key?.schema ?? {}} value={map[name]} path={[...path, name]} label={name} />
          </Item>
        );
      })}
      <Adder
        names={more.map((key) => key.name)}
        what="Add"
        add={(name) => {
          const key = keys.find((each) => each.name === name);
          form.edit([...path, name], key ? fresh(key.schema, form.root) : {});
        }}
      />
    </>
  );
}

/** Entries by names of one's own. */
export function MapOf({ values, value, path }: Of & { values: Schema }): ReactNode {
  const form = useForm();
  const map = isMap(value) ? value : {};
  return (
    <>
      {Object.keys(map).map((name) => (
        <Item key={name} name={name} remove={() => form.edit([...path, name], undefined)}>
          <Entry schema={values} name={name} value={map[name]} path={[...path, name]} />
        </Item>
      ))}
      <NameAdder
        taken={Object.keys(map)}
        add={(name) => form.edit([...path, name], fresh(values, form.root))}
      />
    </>
  );
}

/** A large entry of a map is folded, so that one sees the others. */
function Entry({ schema, name, value, path }: Of & { schema: Schema; name: string }): ReactNode {
  const form = useForm();
  const shape = shapeOf(schema, form.root);
  if (shape.is !== "record" || shape.keys.length <= FEW) {
    return <Field schema={schema} value={value} path={path} label={name} />;
  }
  return (
    <Fold summary={<strong>{name}</strong>} open={problemsWithin(form, path) > 0}>
      {() => <Record keys={shape.keys} several={false} value={value} path={path} />}
    </Fold>
  );
}

export function List({ items, most, value, path }: Of & { items: Schema; most?: number | undefined }): ReactNode {
  const form = useForm();
  const list = Array.isArray(value) ? value : [];
  const what = labelOf(String(path.at(-1) ?? "")).toLowerCase();
  return (
    <>
      {list.map((item, i) => (
        <Item
          key={i}
          name={`${i + 1} of ${what}`}
          remove={() => form.edit([...path, i], undefined)}
          earlier={i > 0 ? () => swap(i, i - 1) : undefined}
        >
          <Field schema={items} value={item} path={[...path, i]} label={`${i + 1} of ${what}`} required bare />
        </Item>
      ))}
      {list.length === 0 && <p className="setting-note">None.</p>}
      <Button
        disabled={form.disabled || (most !== undefined && list.length >= most)}
        onClick={() => form.edit(path, [...list, fresh(items, form.root)])}
      >
        Add one<span className="hidden"> to {what}</span>
      </Button>
    </>
  );

  function swap(a: number, b: number): void {
    const next = [...list];
    const [one, other] = [next[a], next[b]];
    if (one === undefined || other === undefined) return;
    next[a] = other;
    next[b] = one;
    form.edit(path, next);
  }
}

function Item({
  name,
  remove,
  earlier,
  children,
}: {
  name: string;
  remove: () => void;
  earlier?: (() => void) | undefined;
  children: ReactNode;
}): ReactNode {
  const { disabled } = useForm();
  return (
    <div className="setting-item">
      <div className="setting-item-inside">{children}</div>
      <div className="setting-item-acts">
        {earlier && (
          <Button kind="quiet" disabled={disabled} onClick={earlier}>
            <span aria-hidden="true">↑</span>
            <span className="hidden">Move {name} up</span>
          </Button>
        )}
        <Button kind="quiet" disabled={disabled} onClick={remove}>
          <span aria-hidden="true">✕</span>
          <span className="hidden">Remove {name}</span>
        </Button>
      </div>
    </div>
  );
}

/** One name of several, each with settings of its own. */
export function KindOf({
  shape,
  value,
  path,
  fallback,
}: Of & { shape: Shape & { is: "kind" }; fallback: Json | undefined }): ReactNode {
  const form = useForm();
  const id = useId();
  const name = typeof value === "string" ? value : isMap(value) ? (Object.keys(value)[0] ?? "") : "";
  const settings = isMap(value) ? value[name] : undefined;
  const chosen = shape.settings[name] ?? (typeof fallback === "string" ? shape.settings[fallback] : undefined);
  const asks = chosen ? shapeOf(chosen, form.root) : undefined;
  const has = asks?.is === "record" && asks.keys.length > 0;
  const usual = typeof fallback === "string" ? fallback : "";
  const choose = (next: string) => {
    const schema = shape.settings[next];
    if (next === "") form.edit(path, undefined);
    else if (shape.bare && !schema?.required?.length) form.edit(path, next);
    else form.edit(path, { [next]: schema ? fresh(schema, form.root) : {} });
  };
  return (
    <>
      <div className="setting">
        <label htmlFor={id} className="hidden">
          Which
        </label>
        <select id={id} className="input" value={name} disabled={form.disabled} onChange={(e) => choose(e.target.value)}>
          {(usual !== "" || name === "") && <option value="">{usual ? `default: ${usual}` : "not set"}</option>}
          {shape.names.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
          {name !== "" && !shape.names.includes(name) && <option value={name}>{name} (not known)</option>}
        </select>
        {chosen?.description && <p className="setting-help">{chosen.description}</p>}
      </div>
      {has && asks.is === "record" && name !== "" && (
        <Fold summary={`Settings of ${name}`} open={settings !== undefined && isMap(settings) && Object.keys(settings).length > 0}>
          {() => <KindSettings keys={asks.keys} name={name} value={value} path={path} />}
        </Fold>
      )}
    </>
  );
}

/** A bare name becomes `{name: {...}}` with its first setting. */
function KindSettings({ keys, name, value, path }: Of & { keys: Key[]; name: string }): ReactNode {
  const form = useForm();
  const settings = isMap(value) ? value[name] : undefined;
  if (isMap(value)) return <Record keys={keys} several={false} value={settings} path={[...path, name]} />;
  return (
    <Button disabled={form.disabled} onClick={() => form.edit(path, { [name]: {} })}>
      Give it settings of its own
    </Button>
  );
}
