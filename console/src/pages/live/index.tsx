/** The first page: the line as a picture, what passes it, and the last fifteen minutes in figures. */
import { useRef, useState } from "react";
import type { LineMap, Overview, Passed } from "../../api/types";
import { count, many, ms, money, percent, time } from "../../format";
import { useLoad } from "../../load";
import { Badge, Button, Card, Empty, LineChart, Loading, Notice, PageHead, Stat, Stats, Table, Trouble, type Column } from "../../parts";
import { AsList } from "./as-list";
import { useFeed, type Feed } from "./feed";
import { wentThrough } from "./line";
import { Picture, type PictureHandle } from "./picture";
import { Outcome, Request } from "./request";

const OVERVIEW_EACH_MS = 10_000;
const MAP_EACH_MS = 30_000;
const ROWS = 8;
/** So many points a chart has at least: two minutes. */
const LEAST = 12;

export function Live() {
  const overview = useLoad<Overview>("/overview", OVERVIEW_EACH_MS);
  const map = useLoad<LineMap>("/map", MAP_EACH_MS);
  const [paused, setPaused] = useState(false);
  const picture = useRef<PictureHandle>(null);
  const feed = useFeed(overview.value?.last, paused, (came) => !paused && picture.current?.show(came));
  const pause = () => {
    setPaused(!paused);
    // What has passed meanwhile is caught up with.
    if (paused) overview.again();
  };
  return (
    <>
      <PageHead title="Live" lead="Each prompt is read by signals, decided about, and answered by a model. This is what passes just now.">
        <Connection feed={feed} paused={paused} />
        <Button aria-pressed={paused} onClick={pause}>
          {paused ? "Go on" : "Pause"}
        </Button>
      </PageHead>
      {overview.error && !overview.value && <Trouble error={overview.error} again={overview.again} />}
      {overview.value && <Configuration config={overview.value.config} />}
      {overview.value && <Figures overview={overview.value} feed={feed} />}
      {map.error && !map.value && <Trouble error={map.error} again={map.again} />}
      {map.loading && !map.value && <Loading what="Drawing the line" />}
      {map.value && <TheLine map={map.value} feed={feed} picture={picture} currency={overview.value?.currency ?? ""} />}
      {overview.value && <Series overview={overview.value} />}
    </>
  );
}

function Connection({ feed, paused }: { feed: Feed; paused: boolean }) {
  if (paused) return <Badge>paused</Badge>;
  if (feed.connected === null) return <Badge>connecting</Badge>;
  return feed.connected ? <Badge tone="good">live</Badge> : <Badge tone="warn">connecting again</Badge>;
}

function Configuration({ config }: { config: Overview["config"] }) {
  return (
    <>
      {config.error && (
        <Notice tone="bad" title="The newest configuration has a mistake; the one before it is in force.">
          {config.error}
        </Notice>
      )}
      {config.needs_restart.length > 0 && (
        <Notice tone="warn" title="Some changes need a restart.">
          {config.needs_restart.join(", ")}
        </Notice>
      )}
    </>
  );
}

function Figures({ overview, feed }: { overview: Overview; feed: Feed }) {
  const whole = overview.requests || 1;
  return (
    <Stats>
      <Stat
        label="Requests"
        value={feed.state ? `${count(feed.state.requests_per_s)}/s` : "–"}
        note={`${count(overview.requests)} in 15 min`}
      />
      <Stat label="Time to answer" value={ms(overview.p50_ms)} note={`p95 ${ms(overview.p95_ms)}, p99 ${ms(overview.p99_ms)}`} />
      <Stat label="Added by deciding" value={ms(overview.routing_p50_ms)} note={`p99 ${ms(overview.routing_p99_ms)}`} />
      <Stat label="Failed" value={percent(overview.errors / whole)} note={many(overview.errors, "request")} {...(overview.errors && { tone: "bad" as const })} />
      <Stat label="From the cache" value={percent(overview.cache_hits / whole)} note={many(overview.cache_hits, "request")} />
      <Stat
        label={`Saved, ${overview.currency}`}
        value={money(overview.saved)}
        note={`${money(overview.cost)} spent`}
        {...(overview.saved > 0 && { tone: "good" as const })}
      />
    </Stats>
  );
}

interface LineProps {
  map: LineMap;
  feed: Feed;
  picture: React.RefObject<PictureHandle | null>;
  currency: string;
}

function TheLine({ map, feed, picture, currency }: LineProps) {
  const [name, setName] = useState(map.recipes[0]?.name ?? "");
  const [chosen, setChosen] = useState<string | null>(null);
  const [opened, setOpened] = useState<Passed | null>(null);
  const recipe = map.recipes.find((one) => one.name === name) ?? map.recipes[0];
  const shown = (chosen ? feed.passed.filter((one) => wentThrough(one, chosen, map)) : feed.passed).slice(0, ROWS);
  if (!recipe) return <Empty whole title="No recipe yet">A recipe holds signals and decisions. The page Routing writes one.</Empty>;
  return (
    <>
      <Card
        className="line-card"
        title="The line"
        lead={`The last ${many(feed.passed.length, "request")}${feed.state ? `; ${count(feed.state.in_flight)} in flight` : ""}.`}
        aside={
          <>
            {map.recipes.length > 1 && (
              <select className="input narrow" aria-label="Recipe" value={recipe.name} onChange={(event) => setName(event.target.value)}>
                {map.recipes.map((one) => (
                  <option key={one.name}>{one.name}</option>
                ))}
              </select>
            )}
            <Legend missed={feed.state?.missed ?? 0} />
          </>
        }
      >
        <div className="wide-only">
          <Picture
            ref={picture}
            map={map}
            recipe={recipe}
            passed={feed.passed}
            rate={feed.state ? `${count(feed.state.requests_per_s)}/s` : "–"}
            chosen={chosen}
            onChoose={setChosen}
          />
        </div>
        <div className="narrow-only">
          <AsList map={map} recipe={recipe} passed={feed.passed} />
        </div>
      </Card>
      <Card
        flush
        title={chosen ? `Latest through ${labelOf(chosen)}` : "Latest requests"}
        aside={
          chosen && (
            <Button kind="quiet" onClick={() => setChosen(null)}>
              Show all
            </Button>
          )
        }
      >
        <Table
          label="Latest requests"
          columns={COLUMNS}
          rows={shown}
          rowKey={(one) => one.id}
          onRow={setOpened}
          rowLabel={(one) => `Why did the request at ${time(one.at)} go to ${one.model || "no model"}?`}
          empty={
            <Empty title="No request yet">
              <p>Ask something, and it appears here at once:</p>
              <pre tabIndex={0}>{ASK}</pre>
            </Empty>
          }
        />
      </Card>
      {opened && <Request passed={opened} currency={currency} onClose={() => setOpened(null)} />}
    </>
  );
}

const LABELS: Record<string, string> = { "d:": "no decision", "d:!": "not decided", "d:=": "as asked", "h:cache": "the cache", "h:fast_response": "the router", "h:error": "refused", "h:looper": "several models" };

function labelOf(node: string): string {
  return LABELS[node] ?? node.replace(/^[a-z]:/, "");
}

const ASK = `curl http://127.0.0.1:8801/v1/chat/completions \\
  -H 'content-type: application/json' \\
  -d '{"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}'`;

const COLUMNS: Column<Passed>[] = [
  { key: "at", title: "Time", cell: (one) => <span className="soft">{time(one.at)}</span> },
  { key: "signals", title: "Signals", minor: true, cell: (one) => <Signals names={one.signals} /> },
  { key: "decision", title: "Decision", cell: (one) => <strong>{one.decision || <span className="soft">none</span>}</strong> },
  { key: "model", title: "Model", cell: (one) => one.model || <span className="soft">none</span> },
  { key: "status", title: "Outcome", cell: (one) => <Outcome passed={one} /> },
  { key: "added", title: "Deciding", number: true, minor: true, cell: (one) => ms(one.routing_ms) },
  { key: "total", title: "Time", number: true, cell: (one) => ms(one.total_ms) },
  { key: "tokens", title: "Tokens", number: true, minor: true, cell: (one) => count(one.prompt_tokens + one.completion_tokens) },
];

function Signals({ names }: { names: string[] }) {
  const [first, second, ...more] = names;
  return (
    <span className="row tight">
      {first && <Badge>{first}</Badge>}
      {second && <Badge>{second}</Badge>}
      {more.length > 0 && (
        <span className="soft small" title={more.join(", ")}>
          +{more.length}
        </span>
      )}
    </span>
  );
}

function Legend({ missed }: { missed: number }) {
  return (
    <p className="line-legend small soft">
      <span className="mark-fine">request</span>
      <span className="mark-cached">from the cache</span>
      <span className="mark-bad">failed</span>
      {missed > 0 && <span>{count(missed)} more than can be drawn</span>}
    </p>
  );
}

/** A router that has just started shows its minutes, not the empty ones before. */
function sinceTheFirst(series: Overview["series"]): Overview["series"] {
  const first = series.findIndex((one) => one.requests > 0);
  return series.slice(Math.max(0, Math.min(first < 0 ? 0 : first - 1, series.length - LEAST)));
}

function Series({ overview }: { overview: Overview }) {
  const series = sinceTheFirst(overview.series);
  const xs = series.map((one) => one.at);
  const clock = (at: number) => time(at).slice(-8, -3);
  return (
    <div className="grid">
      <Card title="Requests each ten seconds">
        <LineChart
          label="Requests each ten seconds"
          xs={xs}
          x={clock}
          y={count}
          top={5}
          series={[
            { name: "requests", values: series.map((one) => one.requests), area: true },
            { name: "failed", values: series.map((one) => one.errors), tone: "bad" },
          ]}
        />
      </Card>
      <Card title="Time to answer, p95">
        <LineChart label="Time to answer, 95th percentile" xs={xs} x={clock} y={ms} top={10} series={[{ name: "p95", values: series.map((one) => (one.requests ? one.p95_ms : null)), area: true }]} />
      </Card>
    </div>
  );
}
