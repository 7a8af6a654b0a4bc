/** Decisions: all of them on one side, the chosen one as a form on the other. */

import type { ReactNode } from "react";

import { Field } from "../../forms/Field";
import { Fold } from "../../forms/groups";
import { problemsWithin, useForm } from "../../forms/context";
import { at } from "../../forms/path";
import { resolved, type Json, type Schema } from "../../forms/schema";
import { Badge, Button, Card, Empty } from "../../parts";
import { go, href } from "../../router";
import { candidatesOf, decisionsOf, free, modelsOf, pathOf, type DecisionAt } from "./recipe";
import { RuleEditor } from "./rule-editor";
import { inWords, knownSignals } from "./rule";
import { Chooser } from "./chooser";

const FIRST = ["name", "description", "priority", "when", "models", "select", "plugins"];

interface Props {
  tree: Json;
  recipe: string;
  /** The index of the chosen one, as the address says it. */
  chosen: string | undefined;
}

export function Decisions({ tree, recipe, chosen }: Props): ReactNode {
  const form = useForm();
  const all = decisionsOf(tree, recipe);
  const index = Math.max(0, Math.min(all.length - 1, Number(chosen ?? 0) || 0));
  const one = all[index];
  const list = [...pathOf(recipe), "decisions"];
  const to = (i: number) => href("routing", ["decisions", recipe, String(i)]);
  const add = (value: { [key: string]: Json }) => {
    const name = free(String(value["name"] ?? "new decision"), all.map((each) => each.name));
    form.edit([...list, all.length], { ...value, name });
    go(to(all.length));
  };
  const begin = () => add({ name: "new decision", models: modelsOf(tree).slice(0, 1) });
  const adding = (
    <Button disabled={form.disabled} onClick={begin}>
      Add a decision
    </Button>
  );
  if (!one) {
    return (
      <Empty whole title="No decisions yet" action={adding}>
        A decision says: when a rule over signals holds, these models may answer. Until there is one, the default
        model answers everything.
      </Empty>
    );
  }
  const drop = () => {
    form.edit(one.path, undefined);
    go(to(Math.max(0, index - 1)));
  };
  return (
    <div className="sides">
      <Chooser label="Decisions" action={adding}>
        {all.map((each, i) => (
          <li key={i}>
            <a href={to(i)} aria-current={i === index ? "true" : undefined} className="chooser-item">
              <Summary decision={each} problems={problemsWithin(form, each.path)} />
            </a>
          </li>
        ))}
      </Chooser>
      <Card
        title={one.name}
        lead="What goes where, and what is done on the way."
        aside={
          <>
            <Button disabled={form.disabled} onClick={() => add({ ...one.value })}>
              Duplicate
            </Button>
            <Button kind="danger" disabled={form.disabled} onClick={drop}>
              Remove
            </Button>
          </>
        }
      >
        <DecisionForm key={`${recipe}/${index}`} decision={one} signals={knownSignals(at(tree, pathOf(recipe)))} />
      </Card>
    </div>
  );
}

function Summary({ decision, problems }: { decision: DecisionAt; problems: number }): ReactNode {
  const models = candidatesOf(decision.value["models"]);
  const priority = decision.value["priority"];
  return (
    <>
      <span className="row spread">
        <strong>{decision.name}</strong>
        <span className="row">
          {problems > 0 && <Badge tone="bad">{problems === 1 ? "1 problem" : `${problems} problems`}</Badge>}
          <span className="soft small">priority {typeof priority === "number" ? priority : 0}</span>
        </span>
      </span>
      <span className="chooser-note">{inWords(decision.value["when"])}</span>
      <span className="chooser-note">→ {models.length > 0 ? models.join(", ") : "the default model"}</span>
    </>
  );
}

function DecisionForm({ decision, signals }: { decision: DecisionAt; signals: string[] }): ReactNode {
  const form = useForm();
  const schema: Schema = resolved({ $ref: "#/$defs/DecisionSettings" }, form.root);
  const keys = Object.entries(schema.properties ?? {});
  const field = ([name, each]: [string, Schema]) => (
    <Field
      key={name}
      schema={each}
      value={decision.value[name]}
      path={[...decision.path, name]}
      required={schema.required?.includes(name) ?? false}
    />
  );
  const first = FIRST.flatMap((name) => keys.filter(([key]) => key === name));
  const rest = keys.filter(([name]) => !FIRST.includes(name));
  const open = rest.some(([name]) => name in decision.value || problemsWithin(form, [...decision.path, name]) > 0);
  return (
    <>
      {first.map(([name, each]) =>
        name === "when" ? (
          <RuleEditor key={name} rule={decision.value["when"]} path={[...decision.path, "when"]} signals={signals} />
        ) : (
          field([name, each])
        ),
      )}
      <Fold summary={`${rest.length} further settings`} open={open}>
        {() => rest.map(field)}
      </Fold>
    </>
  );
}
