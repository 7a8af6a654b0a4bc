/** What was spent, against what the dearest model would have cost for the same tokens. */

import type { ReactNode } from "react";

import type { Costs as CostsAnswer } from "../api/types";
import { count, money, percent, time } from "../format";
import { useLoad } from "../load";
import { Card, Empty, LineChart, Loading, Notice, PageHead, Stat, Stats, Table, Trouble } from "../parts";

export function Costs(): ReactNode {
  const { value, error, again } = useLoad<CostsAnswer>("/costs", 5000);
  return (
    <>
      <PageHead title="Costs" lead="What was spent, and what was not because smaller models answered what they could." />
      {error && <Trouble error={error} again={again} />}
      {!value && !error && <Loading />}
      {value && (value.biggest.model === "" ? <NoPrices /> : <Report costs={value} />)}
    </>
  );
}

function NoPrices(): ReactNode {
  return (
    <Empty whole title="No model has a price">
      <p>Costs are counted once models say what their tokens cost, per million:</p>
      <pre tabIndex={0}>{"models:\n  large:\n    price: {currency: USD, prompt_per_1m: 2.5, completion_per_1m: 10}"}</pre>
      <p>
        Set it on the page <a href="#/routing/rest/default/models">Routing</a>, under a model's price.
      </p>
    </Empty>
  );
}

function Report({ costs }: { costs: CostsAnswer }): ReactNode {
  const { currency, biggest } = costs;
  const share = biggest.would_cost > 0 ? costs.saved / biggest.would_cost : null;
  return (
    <>
      <Stats>
        <Stat label="Spent" value={money(costs.spent, currency)} note={`since ${time(costs.since)}`} />
        <Stat label={`All by ${biggest.model}`} value={money(biggest.would_cost, currency)} note="for the same tokens" />
        <Stat label="Saved" value={money(costs.saved, currency)} note={percent(share)} tone={costs.saved >= 0 ? "good" : "bad"} />
        <Stat label="And by the cache" value={money(costs.saved_by_cache, currency)} note="answers that no model had to give" />
      </Stats>
      {costs.elsewhere.length > 0 && (
        <Notice title="Spent in other currencies, and in none of these sums:">
          {costs.elsewhere.map((each) => money(each.spent, each.currency)).join(", ")}
        </Notice>
      )}
      <Card title="Over time">
        {costs.series.length > 1 ? (
          <LineChart
            label="Spent, and what the dearest model would have cost"
            xs={costs.series.map((point) => point.at)}
            series={[
              { name: "Spent", values: costs.series.map((point) => point.spent), area: true },
              { name: `All by ${biggest.model}`, values: costs.series.map((point) => point.would_cost), tone: "soft" },
            ]}
            x={time}
            y={(amount) => money(amount)}
            height={220}
          />
        ) : (
          <p className="soft">The line begins with the first minutes of traffic.</p>
        )}
      </Card>
      <div className="grid costs-tables">
        <Card title="By model" flush>
          <Table
            label="Costs by model"
            sorted="-cost"
            rows={costs.by_model}
            rowKey={(row) => row.model}
            empty={<Empty title="Nobody has asked yet">Send a request, and its cost is here.</Empty>}
            columns={[
              { key: "model", title: "Model", cell: (row) => <strong>{row.model}</strong>, sort: (row) => row.model },
              { key: "requests", title: "Requests", number: true, cell: (row) => count(row.requests), sort: (row) => row.requests },
              { key: "prompt", title: "Tokens in", number: true, cell: (row) => count(row.prompt_tokens), sort: (row) => row.prompt_tokens },
              { key: "completion", title: "Tokens out", number: true, cell: (row) => count(row.completion_tokens), sort: (row) => row.completion_tokens },
              { key: "cost", title: "Cost", number: true, cell: (row) => money(row.cost, currency), sort: (row) => row.cost },
              { key: "would", title: `By ${biggest.model}`, number: true, minor: true, cell: (row) => money(row.would_cost, currency), sort: (row) => row.would_cost },
            ]}
          />
        </Card>
        <Card title="By decision" flush>
          <Table
            label="Costs by decision"
            sorted="-cost"
            rows={costs.by_decision}
            rowKey={(row) => row.decision}
            empty={<Empty title="No decision has matched yet">Requests that no decision takes go to the default model.</Empty>}
            columns={[
              { key: "decision", title: "Decision", cell: (row) => <strong>{row.decision || "(none)"}</strong>, sort: (row) => row.decision },
              { key: "requests", title: "Requests", number: true, cell: (row) => count(row.requests), sort: (row) => row.requests },
              { key: "cost", title: "Cost", number: true, cell: (row) => money(row.cost, currency), sort: (row) => row.cost },
              {
                key: "saved",
                title: "Saved",
                number: true,
                cell: (row) => money(row.would_cost - row.cost, currency),
                sort: (row) => row.would_cost - row.cost,
              },
            ]}
          />
        </Card>
      </div>
    </>
  );
}
