/** Everything else that the file says, a section at a time. */

import type { ReactNode } from "react";

import { Field } from "../../forms/Field";
import { problemsWithin, useForm } from "../../forms/context";
import { Prose } from "../../forms/Prose";
import { at, type Path } from "../../forms/path";
import { labelOf, resolved, type Json, type Schema } from "../../forms/schema";
import { Badge, Card } from "../../parts";
import { href } from "../../router";
import { Chooser } from "./chooser";
import { pathOf } from "./recipe";

/** They have tabs of their own. */
const ELSEWHERE = new Set(["routing", "recipes"]);
const OWN_TABS = new Set(["signals", "decisions"]);

interface Props {
  tree: Json;
  recipe: string;
  chosen: string | undefined;
}

export function Rest({ tree, recipe, chosen }: Props): ReactNode {
  const form = useForm();
  const whole = Object.entries(form.root.properties ?? {}).filter(([name]) => !ELSEWHERE.has(name));
  const written = whole.filter(([name]) => at(tree, [name]) !== undefined);
  const sections = [...written, ...whole.filter((each) => !written.includes(each))];
  const section = sections.find(([name]) => name === chosen);
  const base = pathOf(recipe);
  const item = (name: string, title: string, path: Path) => {
    const problems = problemsWithin(form, path);
    return (
      <li key={name}>
        <a
          href={href("routing", ["rest", recipe, name])}
          aria-current={name === (section?.[0] ?? "routing") ? "true" : undefined}
          className="chooser-item"
        >
          <span className="row spread">
            <strong>{title}</strong>
            {problems > 0 && <Badge tone="bad">{`${problems}`}</Badge>}
            {at(tree, path) === undefined && <span className="soft small">defaults</span>}
          </span>
        </a>
      </li>
    );
  };
  return (
    <div className="sides">
      <Chooser label="Sections">
        {item("routing", "Routing in general", base)}
        {sections.map(([name]) => item(name, labelOf(name), [name]))}
      </Chooser>
      {section ? (
        <Section key={section[0]} name={section[0]} schema={section[1]} value={at(tree, [section[0]])} />
      ) : (
        <General key={recipe} tree={tree} path={base} />
      )}
    </div>
  );
}

function Section({ name, schema, value }: { name: string; schema: Schema; value: Json | undefined }): ReactNode {
  return (
    <Card title={labelOf(name)} lead={<Prose text={schema.description ?? ""} />}>
      <Field schema={schema} value={value} path={[name]} bare />
    </Card>
  );
}

/** What a recipe says beside its signals and decisions. */
function General({ tree, path }: { tree: Json; path: Path }): ReactNode {
  const form = useForm();
  const schema = resolved({ $ref: "#/$defs/RoutingSettings" }, form.root);
  return (
    <Card title="Routing in general" lead="Beside signals and decisions.">
      {Object.entries(schema.properties ?? {})
        .filter(([name]) => !OWN_TABS.has(name))
        .map(([name, each]) => (
          <Field key={name} schema={each} value={at(tree, [...path, name])} path={[...path, name]} />
        ))}
    </Card>
  );
}
