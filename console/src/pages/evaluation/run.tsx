/** One run: how far it is, its figures, confusions, thresholds, and what it got wrong. */

import { useState, type ReactNode } from "react";

import { api, part } from "../../api/client";
import type { Evaluation } from "../../api/types";
import { count, ms, percent, time } from "../../format";
import { useDo, useLoad } from "../../load";
import { Badge, Button, Card, Empty, HeatMap, LineChart, Loading, Notice, Stat, Stats, Table, Trouble } from "../../parts";
import { useSession } from "../../session";
import { best, isIn, pointAt, steps } from "./thresholds";

interface Props {
  id: string;
  onGone: () => void;
}

export function Run({ id, onGone }: Props): ReactNode {
  const [running, setRunning] = useState(true);
  const { value, error, again } = useLoad<Evaluation>(`/evaluations/${part(id)}`, running ? 700 : 0);
  if (value && running !== (value.state === "running")) setRunning(value.state === "running");
  if (error) return <Trouble error={error} again={again} />;
  if (!value) return <Loading />;
  return <Report run={value} onGone={onGone} />;
}

function Report({ run, onGone }: { run: Evaluation; onGone: () => void }): ReactNode {
  const { may } = useSession();
  const [cell, setCell] = useState<{ label: string; said: string } | null>(null);
  const drop = useDo(async () => {
    await api.del(`/evaluations/${part(run.id)}`);
    onGone();
  });
  const wrong = cell ? run.wrong.filter((row) => row.label === cell.label && row.said === cell.said) : run.wrong;
  const done = run.state === "done";
  return (
    <div className="stack">
      <Card
        title={run.name}
        lead={`${run.of}, by ${run.by}, ${time(run.at)}`}
        aside={
          <>
            <Badge tone={done ? "good" : run.state === "failed" ? "bad" : "accent"}>{run.state}</Badge>
            <Button
              kind="danger"
              busy={drop.busy}
              because={may("operator") ? "" : "Operators remove evaluations."}
              onClick={() => void drop.run()}
            >
              Remove
            </Button>
          </>
        }
      >
        <div className="stack">
          {drop.error && <Trouble error={drop.error} />}
          {run.error && <Notice tone="bad" title={run.error} />}
          {run.state === "running" && (
            <div role="status">
              <progress className="evaluation-progress" aria-label="Rows done" max={Math.max(1, run.total)} value={run.done} />
              <p className="small">
                {count(run.done)} of {count(run.total)} rows
              </p>
            </div>
          )}
          {done && (
            <Stats>
              <Stat label="Right" value={percent(run.accuracy)} note={`of ${count(run.total)} rows`} />
              <Stat label="F1, mean of labels" value={percent(run.macro_f1)} />
              <Stat label="Half within" value={ms(run.p50_ms)} note="for one row" />
            </Stats>
          )}
        </div>
      </Card>
      {done && run.matrix.length > 0 && (
        <Card title="Confusions" lead="A row is what was right, a column what was said. Choose a number to see its rows below.">
          <HeatMap
            label="Confusion matrix"
            rows={run.labels}
            columns={run.labels}
            values={run.matrix}
            rowTitle="right"
            columnTitle="said"
            onCell={(row, column) => setCell({ label: run.labels[row] ?? "", said: run.labels[column] ?? "" })}
          />
        </Card>
      )}
      {done && run.curve.length > 1 && <Thresholds run={run} />}
      {done && run.by_label.length > 0 && (
        <Card title="By label" flush>
          <Table
            label="Precision and recall by label"
            rows={run.by_label}
            rowKey={(row) => row.label}
            columns={[
              { key: "label", title: "Label", cell: (row) => <strong>{row.label}</strong>, sort: (row) => row.label },
              { key: "precision", title: "Precision", number: true, cell: (row) => percent(row.precision), sort: (row) => row.precision },
              { key: "recall", title: "Recall", number: true, cell: (row) => percent(row.recall), sort: (row) => row.recall },
              { key: "f1", title: "F1", number: true, cell: (row) => percent(row.f1), sort: (row) => row.f1 },
              { key: "count", title: "Rows", number: true, cell: (row) => count(row.count), sort: (row) => row.count },
            ]}
          />
        </Card>
      )}
      {done && (
        <Card
          title={cell ? `Right: ${cell.label}; said: ${cell.said}` : "What it got wrong"}
          aside={cell && <Button onClick={() => setCell(null)}>Show all</Button>}
          flush
        >
          <Table
            label="Wrong rows"
            rows={wrong.map((row, i) => ({ ...row, i }))}
            rowKey={(row) => String(row.i)}
            empty={
              <Empty title={cell && cell.label === cell.said ? "These were right" : "Nothing was wrong"}>
                {cell ? "Only wrong rows are kept." : "Every row was given its label. Try harder rows."}
              </Empty>
            }
            columns={[
              { key: "text", title: "Text", cell: (row) => <span className="clip">{row.text}</span> },
              { key: "label", title: "Right", cell: (row) => <Badge tone="good">{row.label}</Badge>, sort: (row) => row.label },
              { key: "said", title: "Said", cell: (row) => <Badge tone="bad">{row.said || "nothing"}</Badge>, sort: (row) => row.said },
              { key: "score", title: "Score", number: true, cell: (row) => (row.score === null ? "–" : row.score.toFixed(3)), sort: (row) => row.score },
            ]}
          />
        </Card>
      )}
    </div>
  );
}

function Thresholds({ run }: { run: Evaluation }): ReactNode {
  const { curve, threshold } = run;
  const drawn = steps(curve);
  const found = best(curve);
  const here = threshold === null ? undefined : pointAt(curve, threshold);
  const good = found !== undefined && threshold !== null && isIn(found, threshold);
  return (
    <Card title="Thresholds" lead="What each threshold would have made of these rows.">
      <div className="stack tight">
        <LineChart
          label="Precision, recall and F1 over the threshold"
          xs={drawn.xs}
          series={[
            { name: "F1", values: drawn.points.map((point) => point.f1), area: true },
            { name: "Precision", values: drawn.points.map((point) => point.precision), tone: "soft" },
            { name: "Recall", values: drawn.points.map((point) => point.recall), tone: "bad" },
          ]}
          x={(value) => value.toFixed(2)}
          y={(value) => percent(value, 0)}
          top={1}
          height={230}
          {...(threshold !== null && { mark: { x: threshold, label: `now ${threshold}` } })}
        />
        {found && (
          <Notice
            tone={good ? "good" : "accent"}
            title={`Best F1: ${percent(found.point.f1)}, with ${found.middle} or anything from ${found.from.toFixed(3)} to ${found.to.toFixed(3)}`}
          >
            <p>
              Precision {percent(found.point.precision)}, recall {percent(found.point.recall)}.{" "}
              {here && !good && `In force is ${threshold}, with an F1 of ${percent(here.f1)}. `}
              {good && `What is in force (${threshold}) is as good. `}
              Measured on {count(run.total)} rows: try it on others before you change it.
            </p>
          </Notice>
        )}
      </div>
    </Card>
  );
}
