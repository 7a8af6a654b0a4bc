/** Evaluations: labelled rows against a signal or the whole decision. */

import { useState, type ReactNode } from "react";

import type { Evaluation as Ran } from "../../api/types";
import { percent, time } from "../../format";
import { useLoad } from "../../load";
import { Badge, Button, Card, Empty, Loading, PageHead, Table, Trouble } from "../../parts";
import { go, href, usePlace } from "../../router";
import { useSession } from "../../session";
import "../more.css";
import { NewEvaluation } from "./new";
import { Run } from "./run";

interface Runs {
  evaluations: Ran[];
}

export function Evaluation(): ReactNode {
  const { rest } = usePlace();
  const { me, may } = useSession();
  const [making, setMaking] = useState(false);
  const runs = useLoad<Runs>("/evaluations");
  const chosen = rest[0];
  const because = may("operator") ? "" : `Your role (${me?.role ?? "none"}) may look; operators evaluate.`;
  const begin = (
    <Button kind="primary" because={because} onClick={() => setMaking(true)}>
      New evaluation
    </Button>
  );
  return (
    <>
      <PageHead title="Evaluation" lead="How often a signal, or the whole decision, is right: on rows whose answer you know.">
        {chosen && <a href={href("evaluation")}>All of them</a>}
        {begin}
      </PageHead>
      {runs.error && <Trouble error={runs.error} again={runs.again} />}
      {!runs.value && !runs.error && <Loading />}
      {chosen ? (
        <Run
          key={chosen}
          id={chosen}
          onGone={() => {
            runs.again();
            go(href("evaluation"));
          }}
        />
      ) : (
        runs.value && <List runs={runs.value.evaluations} />
      )}
      {making && (
        <NewEvaluation
          onClose={() => setMaking(false)}
          onBegun={(id) => {
            setMaking(false);
            runs.again();
            go(href("evaluation", [id]));
          }}
        />
      )}
    </>
  );
}

function List({ runs }: { runs: readonly Ran[] }): ReactNode {
  return (
    <Card title="Runs" flush>
      <Table
        label="Evaluations"
        rows={runs}
        rowKey={(row) => row.id}
        onRow={(row) => go(href("evaluation", [row.id]))}
        rowLabel={(row) => `Open ${row.name}`}
        empty={
          <Empty title="Nothing has been evaluated yet">
            <p>
              Take some prompts whose label you know, a few dozen for each, and see where a signal is right, what it
              confuses, and which threshold suits it best. Each row is a text and its label:
            </p>
            <pre tabIndex={0}>{"text,label\nProve that 7 is prime,math\nHello there,other"}</pre>
          </Empty>
        }
        columns={[
          { key: "name", title: "Name", cell: (row) => <strong>{row.name}</strong>, sort: (row) => row.name },
          { key: "of", title: "Of", cell: (row) => <code>{row.of}</code>, sort: (row) => row.of },
          {
            key: "state",
            title: "State",
            cell: (row) => <Badge tone={row.state === "done" ? "good" : row.state === "failed" ? "bad" : "accent"}>{row.state}</Badge>,
            sort: (row) => row.state,
          },
          { key: "accuracy", title: "Right", number: true, cell: (row) => percent(row.accuracy), sort: (row) => row.accuracy },
          { key: "f1", title: "F1", number: true, cell: (row) => percent(row.macro_f1), sort: (row) => row.macro_f1 },
          { key: "rows", title: "Rows", number: true, cell: (row) => row.total, sort: (row) => row.total },
          { key: "by", title: "By", cell: (row) => row.by, sort: (row) => row.by, minor: true },
          { key: "at", title: "When", cell: (row) => time(row.at), sort: (row) => row.at, minor: true },
        ]}
      />
    </Card>
  );
}
