/** What became of a check and of a rehearsal, and the dialogue before a change is saved. */

import { useId, useState, type ReactNode } from "react";

import type { Checked, Problem, Rehearsed } from "../../api/types";
import type { Refused } from "../../api/client";
import type { Json } from "../../forms/schema";
import { count, money } from "../../format";
import { Bars, Button, Card, Dialog, Diff, Empty, Notice, Stat, Stats, Table, TextField, Trouble } from "../../parts";
import { href } from "../../router";
import { placeOfProblem } from "./recipe";

/** A check; `old` once something has changed since. */
export interface CheckedThen extends Checked {
  old?: boolean;
}

interface CheckedProps {
  checked: CheckedThen;
  tree: Json;
  onLine: (line: number) => void;
}

export function CheckedView({ checked, tree, onLine }: CheckedProps): ReactNode {
  if (checked.old) {
    return (
      <Card title="Left of the last check" lead="It has changed since: check it again.">
        <Problems problems={checked.problems} tree={tree} onLine={onLine} />
      </Card>
    );
  }
  return (
    <Card title={checked.ok ? "It is sound" : "It would be refused"} lead={leadOf(checked)}>
      <div className="stack tight">
        <Problems problems={checked.problems} tree={tree} onLine={onLine} />
        {checked.needs_restart.length > 0 && (
          <Notice tone="warn" title="Takes effect at the next start of the router, not before:">
            {checked.needs_restart.join(", ")}
          </Notice>
        )}
        {checked.diff ? (
          <Diff text={checked.diff} label="What would change" />
        ) : (
          <p className="soft">Nothing differs from what is in force.</p>
        )}
      </div>
    </Card>
  );
}

function leadOf(checked: Checked): string {
  const lines = `${count(checked.added)} lines added, ${count(checked.removed)} taken away.`;
  const wrong = checked.problems.length;
  return checked.ok ? lines : `${wrong === 1 ? "One problem" : `${wrong} problems`}. ${lines}`;
}

function Problems({ problems, tree, onLine }: { problems: readonly Problem[]; tree: Json; onLine: (line: number) => void }) {
  if (problems.length === 0) return null;
  return (
    <ul className="problems" aria-label="Problems">
      {problems.map((problem, i) => {
        const place = placeOfProblem(problem.where, tree);
        return (
          <li key={i}>
            <p>
              {place ? <a href={href("routing", place)}>{problem.where}</a> : <strong>{problem.where || "The file"}</strong>}:{" "}
              {problem.message}
            </p>
            <p className="row small">
              {problem.fix && <span>To do: {problem.fix}.</span>}
              {problem.line !== null && (
                <Button kind="quiet" onClick={() => onLine(problem.line ?? 1)}>
                  Line {problem.line}
                </Button>
              )}
            </p>
          </li>
        );
      })}
    </ul>
  );
}

export function RehearsedView({ rehearsed }: { rehearsed: Rehearsed }): ReactNode {
  const { moved, same, by_model: models, currency } = rehearsed;
  const decided = moved.length + same;
  if (decided === 0) {
    return (
      <Card title="Rehearsal">
        <Empty title="No recorded request could be decided again">
          <p>
            {rehearsed.looked_at === 0
              ? "Nothing is recorded. Add the plugin router_replay to decisions, and let some requests pass."
              : `${rehearsed.without_text} of ${rehearsed.looked_at} records have no body. Let the plugin router_replay capture it: capture_request_body: true.`}
          </p>
        </Empty>
      </Card>
    );
  }
  const delta = rehearsed.cost_after - rehearsed.cost_before;
  return (
    <Card title="Rehearsal on recorded traffic" lead={`${count(decided)} recorded requests were decided once more; no model was asked.`}>
      <div className="stack">
        <Stats>
          <Stat label="Would go elsewhere" value={count(moved.length)} note={`of ${count(decided)}`} />
          <Stat label="Cost before" value={money(rehearsed.cost_before, currency)} />
          <Stat
            label="Cost after"
            value={money(rehearsed.cost_after, currency)}
            note={delta === 0 ? "the same" : `${delta > 0 ? "+" : "−"}${money(Math.abs(delta), currency)}`}
          />
          <Stat label="Without their text" value={count(rehearsed.without_text)} note="cannot be decided again" />
        </Stats>
        <div>
          <h3>Requests by model: after, and before in grey</h3>
          <Bars
            label="Requests by model, before and after"
            bars={models.map((each) => ({
              key: each.model,
              label: each.model,
              value: each.after,
              compare: each.before,
              text: `${count(each.before)} → ${count(each.after)}`,
            }))}
          />
        </div>
        <Table
          label="Requests that would go elsewhere"
          rows={moved}
          rowKey={(row) => row.id}
          empty={<p className="soft">Nobody would go elsewhere.</p>}
          columns={[
            { key: "text", title: "Request", cell: (row) => <span className="clip">{row.text}</span> },
            { key: "before", title: "Went to", cell: (row) => `${row.before.model} (${row.before.decision || "default"})` },
            { key: "after", title: "Would go to", cell: (row) => <strong>{`${row.after.model} (${row.after.decision || "default"})`}</strong> },
          ]}
        />
      </div>
    </Card>
  );
}

interface SaveProps {
  checked: Checked | null;
  busy: boolean;
  error: Refused | null;
  /** Whether changes of forms alone can be made again on a newer file. */
  again: (() => void) | null;
  onSave: (note: string) => void;
  onClose: () => void;
}

export function SaveDialog({ checked, busy, error, again, onSave, onClose }: SaveProps): ReactNode {
  const id = useId();
  const [note, setNote] = useState("");
  const conflict = error?.status === 409 || error?.status === 412;
  const ready = checked?.ok === true;
  return (
    <Dialog
      title="Save this configuration"
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={id} busy={busy} disabled={!ready || conflict}>
            Save and put into force
          </Button>
        </>
      }
    >
      <form
        id={id}
        className="stack tight"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) onSave(note.trim());
        }}
      >
        {conflict && (
          <Notice tone="warn" title="The file has changed meanwhile.">
            <p>Somebody saved another version after you began, and your change was not put over it.</p>
            {again ? (
              <Button onClick={again}>Make my changes on the newest version</Button>
            ) : (
              <p>You typed into the text: copy it, discard the draft, and put your lines into the newest version.</p>
            )}
          </Notice>
        )}
        {error && !conflict && <Trouble error={error} />}
        {checked && !ready && <Notice tone="bad" title="It would be refused; close this and see what is wrong." />}
        <TextField label="Why (kept with the version)" value={note} maxLength={300} onChange={(e) => setNote(e.target.value)} />
        {checked && <Diff text={checked.diff || "Nothing differs."} label="What will change" />}
      </form>
    </Dialog>
  );
}
