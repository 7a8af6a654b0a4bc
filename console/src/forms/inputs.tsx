/** The fields that hold one value: text, numbers, choices, flags, lines, JSON. */

import { useEffect, useId, useState, type ReactNode } from "react";

import { useForm } from "./context";
import type { Path } from "./path";
import { boundsOf, isMap, type Json, type Shape } from "./schema";

export interface Asked {
  /** Of the control, for its label. */
  id: string;
  /** Ids of what describes it. */
  describedBy: string | undefined;
  invalid: boolean;
  path: Path;
  value: Json | undefined;
  fallback: Json | undefined;
  required: boolean;
}

function common(asked: Asked, disabled: boolean) {
  return {
    id: asked.id,
    disabled,
    "aria-describedby": asked.describedBy,
    "aria-invalid": asked.invalid || undefined,
    className: "input",
  } as const;
}

/** A default as a placeholder. */
function shownDefault(fallback: Json | undefined): string {
  if (fallback === undefined || fallback === null || fallback === "") return "";
  return typeof fallback === "object" ? "" : String(fallback);
}

export function TextInput({ asked, shape }: { asked: Asked; shape: Shape & { is: "text" } }): ReactNode {
  const { edit, disabled, suggest } = useForm();
  const list = useId();
  const value = typeof asked.value === "string" ? asked.value : "";
  const names = suggest(asked.path);
  const change = (text: string) =>
    edit(asked.path, text === "" && !asked.required ? undefined : text);
  if (shape.long || value.includes("\n") || value.length > 120) {
    const rows = Math.min(12, Math.max(3, value.split("\n").length));
    return (
      <textarea {...common(asked, disabled)} rows={rows} value={value} onChange={(e) => change(e.target.value)} />
    );
  }
  return (
    <>
      <input
        {...common(asked, disabled)}
        type="text"
        value={value}
        placeholder={shownDefault(asked.fallback)}
        maxLength={shape.maxLength}
        list={names.length > 0 ? list : undefined}
        spellCheck={false}
        autoComplete="off"
        onChange={(e) => change(e.target.value)}
      />
      {names.length > 0 && (
        <datalist id={list}>
          {names.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      )}
    </>
  );
}

/** What is being typed is kept as it is until it is a number: `0.` is on the way to one. */
export function NumberInput({ asked, shape }: { asked: Asked; shape: Shape & { is: "number" } }): ReactNode {
  const { edit, disabled } = useForm();
  const given = typeof asked.value === "number" ? String(asked.value) : "";
  const [typed, setTyped] = useState(given);
  useEffect(() => {
    setTyped((now) => (now !== "" && Number(now) === Number(given || Number.NaN) ? now : given));
  }, [given]);
  const wrong = typed !== "" && !isNumber(typed, shape);
  const change = (text: string) => {
    setTyped(text);
    if (text.trim() === "") edit(asked.path, undefined);
    else if (isNumber(text, shape)) edit(asked.path, Number(text));
  };
  return (
    <>
      <input
        {...common(asked, disabled)}
        aria-invalid={wrong || asked.invalid || undefined}
        type="text"
        inputMode={shape.whole ? "numeric" : "decimal"}
        className="input short"
        value={typed}
        placeholder={shownDefault(asked.fallback)}
        autoComplete="off"
        onChange={(e) => change(e.target.value)}
      />
      {wrong && (
        <span className="setting-problem" role="status">
          {shape.whole ? "A whole number" : "A number"}
          {boundsOf(shape) && `, ${boundsOf(shape)}`}
        </span>
      )}
    </>
  );
}

export function isNumber(text: string, shape: Shape & { is: "number" }): boolean {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) return false;
  if (shape.whole && !Number.isInteger(value)) return false;
  return (
    value >= (shape.least ?? -Infinity) &&
    value <= (shape.most ?? Infinity) &&
    (shape.above === undefined || value > shape.above) &&
    (shape.below === undefined || value < shape.below)
  );
}

/** One of few. What somebody wrote that is none of them stays to be seen. */
export function ChoiceInput({ asked, values }: { asked: Asked; values: readonly Json[] }): ReactNode {
  const { edit, disabled } = useForm();
  const none = "";
  const texts = values.map((value) => JSON.stringify(value));
  const now = asked.value === undefined || asked.value === null ? none : JSON.stringify(asked.value);
  const fallback = shownDefault(asked.fallback);
  return (
    <select
      {...common(asked, disabled)}
      value={now}
      onChange={(e) => edit(asked.path, e.target.value === none ? undefined : (JSON.parse(e.target.value) as Json))}
    >
      {(!asked.required || now === none) && (
        <option value={none}>{fallback ? `default: ${fallback}` : "not set"}</option>
      )}
      {texts.map((text, i) => (
        <option key={text} value={text}>
          {String(values[i])}
        </option>
      ))}
      {now !== none && !texts.includes(now) && <option value={now}>{now} (not a choice)</option>}
    </select>
  );
}

/** Yes, no, or not said: three states, so that a default is not written down by looking at it. */
export function FlagInput({ asked }: { asked: Asked }): ReactNode {
  const { edit, disabled } = useForm();
  const said = typeof asked.value === "boolean";
  const on = said ? asked.value === true : asked.fallback === true;
  return (
    <span className="flag">
      <input
        {...common(asked, disabled)}
        type="checkbox"
        role="switch"
        checked={on}
        onChange={(e) => edit(asked.path, e.target.checked)}
      />
      <span aria-hidden="true">
        {on ? "on" : "off"}
        {!said && " (default)"}
      </span>
    </span>
  );
}

/** Texts, one on each line. */
export function LinesInput({ asked, most }: { asked: Asked; most?: number | undefined }): ReactNode {
  const { edit, disabled } = useForm();
  const lines = Array.isArray(asked.value) ? asked.value.map(String) : [];
  const given = lines.join("\n");
  const [typed, setTyped] = useState(given);
  useEffect(() => {
    setTyped((now) => (linesOf(now).join("\n") === given ? now : given));
  }, [given]);
  const change = (text: string) => {
    setTyped(text);
    const found = linesOf(text);
    edit(asked.path, found.length === 0 && !asked.required ? undefined : found);
  };
  return (
    <>
      <textarea
        {...common(asked, disabled)}
        rows={Math.min(14, Math.max(2, typed.split("\n").length + 1))}
        value={typed}
        spellCheck={false}
        onChange={(e) => change(e.target.value)}
      />
      <span className="setting-note">
        One on each line; {lines.length} now{most !== undefined && `, at most ${most}`}.
      </span>
    </>
  );
}

export function linesOf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** What no other field can show, written as JSON. */
export function JsonInput({ asked }: { asked: Asked }): ReactNode {
  const { edit, disabled } = useForm();
  const given = asked.value === undefined ? "" : JSON.stringify(asked.value, null, 2);
  const [typed, setTyped] = useState(given);
  const [wrong, setWrong] = useState("");
  useEffect(() => {
    setTyped((now) => (same(now, asked.value) ? now : given));
  }, [given, asked.value]);
  const change = (text: string) => {
    setTyped(text);
    setWrong("");
    if (text.trim() === "") return edit(asked.path, undefined);
    try {
      edit(asked.path, JSON.parse(text) as Json);
    } catch (error) {
      setWrong(error instanceof Error ? error.message : "not JSON");
    }
  };
  const tall = given.split("\n").length;
  return (
    <>
      <textarea
        {...common(asked, disabled)}
        className="input mono"
        rows={Math.min(12, Math.max(2, tall))}
        value={typed}
        spellCheck={false}
        placeholder={isMap(asked.fallback) || Array.isArray(asked.fallback) ? JSON.stringify(asked.fallback) : ""}
        onChange={(e) => change(e.target.value)}
      />
      {wrong && (
        <span className="setting-problem" role="status">
          Not JSON yet: {wrong}
        </span>
      )}
    </>
  );
}

function same(text: string, value: Json | undefined): boolean {
  try {
    return JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
  } catch {
    return false;
  }
}
