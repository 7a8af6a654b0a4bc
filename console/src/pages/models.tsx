/** Every model, what it costs and does, and how each of its replicas is. */

import type { ReactNode } from "react";

import type { Models as ModelsAnswer } from "../api/types";
import { ago, count, money, ms, percent } from "../format";
import { useLoad } from "../load";
import { Badge, Card, Empty, Loading, PageHead, Stat, Stats, Table, Trouble, type Column, type Tone } from "../parts";
import "./more.css";

type Model = ModelsAnswer["models"][number];
type Replica = Model["replicas"][number];

const STATES: Record<string, { tone: Tone; says: string }> = {
  ready: { tone: "good", says: "takes requests" },
  standby: { tone: "plain", says: "takes requests while none of the others can" },
  ejected: { tone: "bad", says: "left out for a while" },
  draining: { tone: "warn", says: "ends what it has, takes no more" },
  unknown: { tone: "warn", says: "nothing is known of it yet" },
};

export function Models(): ReactNode {
  const { value, error, again } = useLoad<ModelsAnswer>("/models", 3000);
  return (
    <>
      <PageHead title="Models" lead="What can answer, what it costs, and how its replicas are right now." />
      {error && <Trouble error={error} again={again} />}
      {!value && !error && <Loading />}
      {value && value.models.length === 0 && (
        <Empty whole title="No models yet">
          <p>
            A model is a name and where it is served. Add it on the page <a href="#/routing/rest/default/models">Routing</a>,
            or in the file:
          </p>
          <pre tabIndex={0}>{"models:\n  my-model:\n    endpoints: [http://127.0.0.1:8000]"}</pre>
        </Empty>
      )}
      {value?.models.map((model) => <ModelCard key={model.name} model={model} currency={value.currency} />)}
    </>
  );
}

function ModelCard({ model, currency }: { model: Model; currency: string }): ReactNode {
  const well = model.replicas.filter((each) => each.state === "ready").length;
  const price = model.price;
  return (
    <Card
      title={model.name}
      lead={model.provider || "servers of your own"}
      aside={
        <>
          {model.tiers?.map((tier) => (
            <Badge key={tier} tone="accent">
              {tier}
            </Badge>
          ))}
          {model.tiers?.length === 0 && <Badge tone="accent">all tiers</Badge>}
          <Badge tone={model.replicas.length === 0 ? "plain" : well === 0 ? "bad" : well < model.replicas.length ? "warn" : "good"}>
            {model.replicas.length === 0 ? "no replicas known" : `${well} of ${model.replicas.length} ready`}
          </Badge>
        </>
      }
    >
      <div className="stack">
        <Stats>
          <Stat label="Requests" value={count(model.requests)} />
          <Stat
            label="Errors"
            value={count(model.errors)}
            note={model.requests > 0 ? percent(model.errors / model.requests) : undefined}
            {...(model.errors > 0 && { tone: "bad" as const })}
          />
          <Stat label="95 % within" value={ms(model.p95_ms)} />
          <Stat label="Tokens" value={count(model.tokens)} />
          <Stat label="Cost" value={money(model.cost)} note={currency} />
          <Stat
            label="Price per million"
            value={price ? money(price.prompt) : "–"}
            note={price ? `${currency} in; ${money(price.completion)} out` : "none given"}
          />
          <Stat label="Context" value={count(model.context)} note={model.context === null ? "not said" : "tokens"} />
        </Stats>
        {model.replicas.length > 0 && (
          <Table label={`Replicas of ${model.name}`} columns={COLUMNS} rows={model.replicas} rowKey={(row) => row.endpoint} />
        )}
      </div>
    </Card>
  );
}

const COLUMNS: readonly Column<Replica>[] = [
  { key: "endpoint", title: "Replica", cell: (row) => <span className="mono endpoint">{row.endpoint}</span>, sort: (row) => row.endpoint },
  { key: "state", title: "State", cell: (row) => <State replica={row} />, sort: (row) => row.state },
  { key: "in_flight", title: "In flight", number: true, cell: (row) => count(row.in_flight), sort: (row) => row.in_flight },
  { key: "waiting", title: "Waiting", number: true, cell: (row) => count(row.waiting), sort: (row) => row.waiting },
  { key: "kv", title: "KV use", number: true, cell: (row) => <Kv replica={row} />, sort: (row) => row.kv_use },
  { key: "errors", title: "Errors", number: true, cell: (row) => count(row.errors), sort: (row) => row.errors },
  { key: "p95", title: "95 % within", number: true, cell: (row) => ms(row.p95_ms), sort: (row) => row.p95_ms },
];

function State({ replica }: { replica: Replica }): ReactNode {
  const state = STATES[replica.state] ?? { tone: "plain" as const, says: "" };
  return (
    <span className="state">
      <Badge tone={state.tone}>{replica.state}</Badge>
      <span className="soft small">{replica.why || state.says}</span>
    </span>
  );
}

/** How full its cache of keys and values is: a bar and its figure. */
function Kv({ replica }: { replica: Replica }): ReactNode {
  const use = replica.kv_use;
  const label = `KV cache of ${replica.endpoint}`;
  if (use === null) return <span title="Its metrics are not read: give it picking by load, or a page of metrics.">–</span>;
  return (
    <span className="kv" title={replica.scraped_at === null ? undefined : `read ${ago(replica.scraped_at)}`}>
      <meter aria-label={label} min={0} max={1} high={0.85} value={use} />
      <span>{percent(use, 0)}</span>
    </span>
  );
}
