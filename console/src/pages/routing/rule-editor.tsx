/** A rule as a tree that one reads from the top: all of, any of, not, and signals. */

import { useId, type ReactNode } from "react";

import { problemsAt, useForm } from "../../forms/context";
import { pathText, type Path } from "../../forms/path";
import { isMap, type Json } from "../../forms/schema";
import { Button } from "../../parts";
import { inWords, partsOf, SIGNS, signalOf, sortOf, TESTS, turned, type Sort } from "./rule";

const WORDS: Record<Sort, string> = {
  signal: "A signal",
  all: "All of these",
  any: "Any of these",
  not: "Not",
  other: "Something else",
};

interface Props {
  rule: Json | undefined;
  path: Path;
  signals: readonly string[];
}

export function RuleEditor({ rule, path, signals }: Props): ReactNode {
  const form = useForm();
  const problems = problemsAt(form, path);
  return (
    <fieldset className="setting-group rule-editor" data-path={pathText(path)}>
      <legend>When</legend>
      <p className="setting-help" role="status">
        In words: {inWords(rule)}
      </p>
      {problems.map((problem) => (
        <p key={problem.message} className="setting-problem">
          {problem.message} {problem.fix}
        </p>
      ))}
      {rule === undefined || rule === null ? (
        <StartRule path={path} signals={signals} />
      ) : (
        <Node rule={rule} path={path} signals={signals} place="the rule" remove={() => form.edit(path, undefined)} />
      )}
    </fieldset>
  );
}

function StartRule({ path, signals }: { path: Path; signals: readonly string[] }): ReactNode {
  const form = useForm();
  const first = signals[0];
  return (
    <div className="row">
      <span className="soft small">No rule: it always holds, with confidence 0.</span>
      <Button disabled={form.disabled || !first} onClick={() => form.edit(path, first ?? "")}>
        Begin with a signal
      </Button>
      <Button disabled={form.disabled || !first} onClick={() => form.edit(path, { all: [first ?? ""] })}>
        Begin with "all of"
      </Button>
      {!first && <span className="soft small">Make a signal first.</span>}
    </div>
  );
}

function Node({ rule, path, signals, place, remove }: Props & { place: string; remove: () => void }): ReactNode {
  const form = useForm();
  const id = useId();
  const sort = sortOf(rule);
  return (
    <div className={`rule rule-${sort}`}>
      <div className="rule-head">
        <label className="hidden" htmlFor={id}>
          What {place} is
        </label>
        <select
          id={id}
          className="input rule-sort"
          value={sort}
          disabled={form.disabled}
          onChange={(e) => form.edit(path, turned(rule, e.target.value as Sort))}
        >
          {(["signal", "all", "any", "not"] as const).map((each) => (
            <option key={each} value={each}>
              {WORDS[each]}
            </option>
          ))}
          {sort === "other" && <option value="other">{WORDS.other}</option>}
        </select>
        {sort === "signal" && <Leaf rule={rule} path={path} signals={signals} place={place} />}
        <Button kind="quiet" disabled={form.disabled} onClick={remove} aria-label={`Remove ${place}`}>
          ✕
        </Button>
      </div>
      {(sort === "all" || sort === "any") && (
        <Parts rule={rule} path={[...path, sort]} signals={signals} place={place} />
      )}
      {sort === "not" && (
        <ul className="rule-parts">
          <li>
            <Node
              rule={isMap(rule) ? rule["not"] : undefined}
              path={[...path, "not"]}
              signals={signals}
              place={`what ${place} denies`}
              remove={remove}
            />
          </li>
        </ul>
      )}
    </div>
  );
}

function Parts({ rule, path, signals, place }: Props & { place: string }): ReactNode {
  const form = useForm();
  const parts = partsOf(rule);
  const first = signals[0] ?? "";
  const of = place === "the rule" ? "" : ` in ${place}`;
  return (
    <ul className="rule-parts">
      {parts.map((part, i) => (
        <li key={i}>
          <Node
            rule={part}
            path={[...path, i]}
            signals={signals}
            place={`part ${i + 1}${of}`}
            remove={() => form.edit([...path, i], undefined)}
          />
        </li>
      ))}
      <li className="row">
        <Button disabled={form.disabled || first === ""} onClick={() => form.edit(path, [...parts, first])}>
          Add a signal<span className="hidden"> to {place}</span>
        </Button>
        <Button disabled={form.disabled} onClick={() => form.edit(path, [...parts, { any: first ? [first] : [] }])}>
          Add a group<span className="hidden"> to {place}</span>
        </Button>
      </li>
    </ul>
  );
}

/** One signal, and what its value is compared with, where it is. */
function Leaf({ rule, path, signals, place }: Props & { place: string }): ReactNode {
  const form = useForm();
  const id = useId();
  const signal = signalOf(rule);
  const map = isMap(rule) ? rule : {};
  const test = TESTS.find((each) => typeof map[each] === "number");
  const whole = (more: { [key: string]: Json | undefined }): Json => {
    const next: { [key: string]: Json } = {};
    for (const [key, value] of Object.entries({ ...map, signal, ...more })) {
      if (value !== undefined) next[key] = value;
    }
    return Object.keys(next).length === 1 ? signal : next;
  };
  const setTest = (next: string) => {
    const cleared = Object.fromEntries(TESTS.map((each) => [each, undefined]));
    form.edit(path, whole(next === "" ? cleared : { ...cleared, [next]: test ? (map[test] ?? 0) : 0 }));
  };
  return (
    <>
      <label className="hidden" htmlFor={id}>
        Signal of {place}
      </label>
      <select
        id={id}
        className="input rule-signal"
        value={signal}
        disabled={form.disabled}
        onChange={(e) => form.edit(isMap(rule) ? [...path, "signal"] : path, e.target.value)}
      >
        {signal === "" && <option value="">choose a signal…</option>}
        {signals.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
        {signal !== "" && !signals.includes(signal) && <option value={signal}>{signal} (not known)</option>}
      </select>
      <label className="hidden" htmlFor={`${id}-test`}>
        How {place} is compared
      </label>
      <select
        id={`${id}-test`}
        className="input rule-test"
        value={test ?? ""}
        disabled={form.disabled}
        onChange={(e) => setTest(e.target.value)}
      >
        <option value="">matches</option>
        {TESTS.map((each) => (
          <option key={each} value={each}>
            {SIGNS[each]}
          </option>
        ))}
      </select>
      {test && (
        <>
          <label className="hidden" htmlFor={`${id}-number`}>
            What {place} is compared with
          </label>
          <input
            id={`${id}-number`}
            className="input rule-number"
            type="number"
            step="any"
            value={Number(map[test])}
            disabled={form.disabled}
            onChange={(e) => {
              if (e.target.value !== "") form.edit([...path, test], Number(e.target.value));
            }}
          />
        </>
      )}
    </>
  );
}
