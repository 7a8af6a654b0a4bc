/** A new evaluation: what is evaluated, and labelled rows that are pasted or uploaded. */

import { useId, useState, type ReactNode } from "react";

import { api } from "../../api/client";
import type { Evaluation, EvaluationChoices } from "../../api/types";
import { count } from "../../format";
import { useDo, useLoad } from "../../load";
import { Badge, Button, Dialog, Loading, Notice, Select, TextArea, TextField, Trouble } from "../../parts";
import { countsOf, rowsOf } from "./rows";

const MOST_BYTES = 2 << 20;
const EXAMPLE = 'text,label\n"Prove that 7 is prime",math\n"Hello there",other';

export function NewEvaluation({ onClose, onBegun }: { onClose: () => void; onBegun: (id: string) => void }): ReactNode {
  const id = useId();
  const choices = useLoad<EvaluationChoices>("/evaluations/choices");
  const of = choices.value?.of ?? [];
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState("");
  const [given, setGiven] = useState("");
  const signal = chosen || (of[0]?.id ?? "");
  const choice = of.find((each) => each.id === signal);
  const { rows, problems } = rowsOf(given);
  const unknown = choice && choice.labels.length > 0 ? countsOf(rows).filter(([label]) => !choice.labels.includes(label)) : [];
  const tooLarge = given.length > MOST_BYTES;
  const ready = rows.length > 0 && problems.length === 0 && !tooLarge && signal !== "";
  const begin = useDo(async () => {
    const body = { name: name.trim() || `${signal}, ${count(rows.length)} rows`, signal, rows };
    onBegun((await api.post<Evaluation>("/evaluations", body)).id);
  });
  return (
    <Dialog
      title="A new evaluation"
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={id} busy={begin.busy} disabled={!ready}>
            Begin
          </Button>
        </>
      }
    >
      {choices.error && <Trouble error={choices.error} again={choices.again} />}
      {!choices.value && !choices.error && <Loading />}
      {choices.value && (
        <form
          id={id}
          className="stack tight"
          onSubmit={(e) => {
            e.preventDefault();
            if (ready) void begin.run();
          }}
        >
          {begin.error && <Trouble error={begin.error} />}
          <div className="grid">
            <Select
              label="What is evaluated"
              choices={of.map((each) => each.id)}
              value={signal}
              onChange={(e) => setChosen(e.target.value)}
              hint={choice && choice.labels.length > 0 ? `Its labels: ${choice.labels.join(", ")}.` : "Its labels are what the rows say."}
            />
            <TextField label="Name" placeholder="to find it again" maxLength={100} value={name} onChange={(e) => setName(e.target.value)} />
          </div>
          <div className="row">
            <label htmlFor={`${id}-file`}>Rows from a file:</label>
            <input
              id={`${id}-file`}
              type="file"
              accept=".csv,.tsv,.json,.jsonl,.txt"
              onChange={(e) => {
                const file = e.target.files?.[0];
                if (file) void file.slice(0, MOST_BYTES + 1).text().then(setGiven);
              }}
            />
          </div>
          <TextArea
            label="Rows: CSV, or a JSON object on each line"
            rows={8}
            className="mono"
            spellCheck={false}
            placeholder={EXAMPLE}
            value={given}
            onChange={(e) => setGiven(e.target.value)}
            hint="Each has a text and the label that is right for it."
          />
          <div role="status" className="row small">
            <span>{count(rows.length)} rows</span>
            {countsOf(rows)
              .slice(0, 12)
              .map(([label, n]) => (
                <Badge key={label}>
                  {label}: {n}
                </Badge>
              ))}
          </div>
          {tooLarge && <Notice tone="bad" title="More than 2 MiB: take fewer rows." />}
          {problems.length > 0 && (
            <Notice tone="bad" title="These rows cannot be read:">
              {problems.join("; ")}
            </Notice>
          )}
          {unknown.length > 0 && (
            <Notice tone="warn" title="Labels that it never says:">
              {unknown.map(([label]) => label).join(", ")}. Rows with them can only be wrong.
            </Notice>
          )}
        </form>
      )}
    </Dialog>
  );
}
