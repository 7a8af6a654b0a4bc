/** Signals: what is read from a prompt, by kind, each with the form of its kind. */

import { useId, useState, type ReactNode } from "react";

import type { Catalog } from "../../api/types";
import { Field } from "../../forms/Field";
import { Record } from "../../forms/groups";
import { problemsWithin, useForm } from "../../forms/context";
import { Prose } from "../../forms/Prose";
import { fresh, shapeOf, type Json } from "../../forms/schema";
import { Badge, Button, Card, Dialog, Empty, Select, TextField } from "../../parts";
import { go, href } from "../../router";
import { Chooser } from "./chooser";
import { pathOf, signalsIn, type SignalAt } from "./recipe";

interface Props {
  tree: Json;
  recipe: string;
  kinds: Catalog["kinds"];
  chosen: readonly string[];
}

export function Signals({ tree, recipe, kinds, chosen }: Props): ReactNode {
  const form = useForm();
  const [adding, setAdding] = useState(false);
  const all = signalsIn(tree, recipe);
  const one = all.find((each) => each.kind === chosen[0] && each.name === chosen[1]) ?? all[0];
  const to = (kind: string, name: string) => href("routing", ["signals", recipe, kind, name]);
  const begin = (
    <Button disabled={form.disabled} onClick={() => setAdding(true)}>
      Add a signal
    </Button>
  );
  const dialog = adding && (
    <NewSignal
      kinds={kinds}
      taken={all}
      onClose={() => setAdding(false)}
      onMake={(kind, name) => {
        form.edit([...pathOf(recipe), "signals", kind, name], fresh({ $ref: `#/$defs/signal.${kind}` }, form.root));
        setAdding(false);
        go(to(kind, name));
      }}
    />
  );
  if (!one) {
    return (
      <>
        <Empty whole title="No signals yet" action={begin}>
          A signal reads one thing from a prompt: whether certain words occur, what it is about, in which language it is
          written. Decisions are rules over signals.
        </Empty>
        {dialog}
      </>
    );
  }
  return (
    <div className="sides">
      <Chooser label="Signals" action={begin}>
        {all.map((each) => {
          const problems = problemsWithin(form, each.path);
          return (
            <li key={`${each.kind}:${each.name}`}>
              <a
                href={to(each.kind, each.name)}
                aria-current={each === one ? "true" : undefined}
                className="chooser-item"
              >
                <span className="row spread">
                  <strong>{each.name}</strong>
                  <span className="row">
                    {problems > 0 && <Badge tone="bad">{problems === 1 ? "1 problem" : `${problems} problems`}</Badge>}
                    <span className="soft small">{each.kind}</span>
                  </span>
                </span>
                <span className="chooser-note">
                  {each.used.length > 0 ? `used by ${each.used.join(", ")}` : "no decision asks for it"}
                </span>
              </a>
            </li>
          );
        })}
      </Chooser>
      <SignalCard key={`${recipe}/${one.kind}/${one.name}`} signal={one} kinds={kinds} />
      {dialog}
    </div>
  );
}

function SignalCard({ signal, kinds }: { signal: SignalAt; kinds: Catalog["kinds"] }): ReactNode {
  const form = useForm();
  const kind = kinds.find((each) => each.family === "signal" && each.name === signal.kind);
  const shape = shapeOf(kind ? { $ref: `#/$defs/signal.${signal.kind}` } : {}, form.root);
  const used = signal.used.length > 0 ? `Decisions ask for it: ${signal.used.join(", ")}.` : "";
  return (
    <Card
      title={`${signal.kind}:${signal.name}`}
      lead={kind ? <Prose text={kind.summary} /> : "A kind that is not known here."}
      aside={
        <>
          {kind && kind.stability !== "stable" && <Badge tone="warn">{kind.stability}</Badge>}
          <Button
            kind="danger"
            disabled={form.disabled}
            because={form.disabled ? "" : used}
            onClick={() => form.edit(signal.path, undefined)}
          >
            Remove
          </Button>
        </>
      }
    >
      {used && <p className="setting-note">{used}</p>}
      {shape.is === "record" ? (
        <Record keys={shape.keys} several={false} value={signal.value} path={signal.path} />
      ) : (
        <Field schema={{}} value={signal.value} path={signal.path} label="Settings" />
      )}
    </Card>
  );
}

interface NewProps {
  kinds: Catalog["kinds"];
  taken: readonly SignalAt[];
  onClose: () => void;
  onMake: (kind: string, name: string) => void;
}

function NewSignal({ kinds, taken, onClose, onMake }: NewProps): ReactNode {
  const id = useId();
  const own = kinds.filter((each) => each.family === "signal");
  const [kind, setKind] = useState(own.some((each) => each.name === "keyword") ? "keyword" : (own[0]?.name ?? ""));
  const [name, setName] = useState("");
  const summary = own.find((each) => each.name === kind)?.summary ?? "";
  const wanted = name.trim();
  const twice = taken.some((each) => each.kind === kind && each.name === wanted);
  const ready = wanted !== "" && !twice;
  return (
    <Dialog
      title="A new signal"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={id} disabled={!ready}>
            Add
          </Button>
        </>
      }
    >
      <form
        id={id}
        className="stack tight"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) onMake(kind, wanted);
        }}
      >
        <Select
          label="Kind"
          hint={<Prose text={summary} />}
          choices={own.map((each) => each.name)}
          value={kind}
          onChange={(e) => setKind(e.target.value)}
        />
        <TextField
          label="Name"
          hint={`Rules call it ${kind}:${wanted || "name"}.`}
          {...(twice && { error: "There is one with this name." })}
          value={name}
          onChange={(e) => setName(e.target.value)}
        />
      </form>
    </Dialog>
  );
}
