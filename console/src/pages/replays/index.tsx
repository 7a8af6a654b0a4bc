/** Requests that were kept: find one, look at it, decide it again. */
import { useEffect, useState } from "react";
import type { LineMap, Replays as Found } from "../../api/types";
import { ms, money, time } from "../../format";
import { useLoad } from "../../load";
import { Badge, Button, Card, Empty, Loading, Only, PageHead, Select, Table, TextField, Trouble, type Column } from "../../parts";
import { go, href, usePlace } from "../../router";
import { useMe, useSession } from "../../session";
import { messagesOf } from "../playground/messages";
import { One } from "./one";
import { signalsOf, type Replay } from "./record";

const PAGE = 20;
const TYPED_MS = 300;
const FILTERS = ["search", "decision", "model", "session_id", "cache_status"] as const;

export function Replays() {
  const { rest } = usePlace();
  const { has } = useMe();
  const { may } = useSession();
  if (rest[0] && may("operator")) return <One id={rest[0]} />;
  return (
    <>
      <PageHead title="Replays" lead="What was decided about earlier requests, kept to be looked at and to be decided again." />
      {has.replay ? (
        <Only role="operator" to="read what people asked">
          <Search />
        </Only>
      ) : (
        <How />
      )}
    </>
  );
}

function Search() {
  const { query } = usePlace();
  const map = useLoad<LineMap>("/map");
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const offset = Number(query.get("offset")) || 0;
  const search = new URLSearchParams({ limit: String(PAGE), offset: String(offset), showDetails: "true" });
  for (const [name, value] of Object.entries(asked)) if (value) search.set(name, value);
  const found = useLoad<Found>(`/replays?${search}`);
  const narrow = (more: Record<string, string>) => go(href("replays", [], { ...asked, ...more }), true);
  const rows = (found.value?.data ?? []) as unknown as Replay[];
  const narrowed = Object.values(asked).some(Boolean);
  return (
    <>
      <Card>
        <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <Typed label="Text" value={asked["search"] ?? ""} onTyped={(value) => narrow({ search: value })} placeholder="in the prompt, the answer, a name" />
          <Select label="Decision" value={asked["decision"]} onChange={(event) => narrow({ decision: event.target.value })} choices={choices(map.value?.recipes.flatMap((one) => one.decisions))} />
          <Select label="Model" value={asked["model"]} onChange={(event) => narrow({ model: event.target.value })} choices={choices(map.value?.models)} />
          <Select
            label="Answered"
            value={asked["cache_status"]}
            onChange={(event) => narrow({ cache_status: event.target.value })}
            choices={[
              { value: "", text: "by anybody" },
              { value: "hit", text: "from the cache" },
            ]}
          />
          <Typed label="Session" value={asked["session_id"] ?? ""} onTyped={(value) => narrow({ session_id: value })} placeholder="x-session-id" />
        </form>
      </Card>
      {found.error && <Trouble error={found.error} again={found.again} />}
      {!found.value && found.loading && <Loading />}
      {found.value && (
        <Card flush>
          <Table
            label="Replays"
            columns={COLUMNS}
            rows={rows}
            rowKey={(one) => one.id}
            onRow={(one) => go(href("replays", [one.id]))}
            rowLabel={(one) => `Open the replay of ${time(one.timestamp)}`}
            empty={narrowed ? <Empty whole title="Nothing was found" action={<Button onClick={() => go(href("replays"))}>Show all</Button>} /> : <How />}
          />
          <Pages offset={offset} more={found.value.has_more} onGo={(to) => narrow({ offset: String(to) })} />
        </Card>
      )}
    </>
  );
}

const COLUMNS: Column<Replay>[] = [
  { key: "at", title: "Time", cell: (one) => <span className="soft">{time(one.timestamp)}</span> },
  { key: "prompt", title: "Prompt", cell: (one) => <span className="excerpt">{promptOf(one)}</span> },
  { key: "decision", title: "Decision", cell: (one) => <strong>{one.decision || <span className="soft">none</span>}</strong> },
  { key: "model", title: "Model", cell: (one) => one.selected_model || <span className="soft">none</span> },
  {
    key: "status",
    title: "Outcome",
    cell: (one) => (one.cache_status === "hit" ? <Badge tone="accent">cached</Badge> : <Badge tone={(one.response_status ?? 0) < 400 ? "good" : "bad"}>{one.response_status ?? "–"}</Badge>),
  },
  { key: "time", title: "Time taken", number: true, minor: true, cell: (one) => ms((one.seconds ?? 0) * 1000) },
  { key: "cost", title: "Cost", number: true, minor: true, cell: (one) => money(one.cost, one.currency) },
];

function promptOf(replay: Replay): string {
  const last = messagesOf(replay.request_body ?? "").at(-1);
  return last?.content || signalsOf(replay).join(", ") || "not kept";
}

function choices(of: { name: string }[] | undefined) {
  return [{ value: "", text: "any" }, ...new Set((of ?? []).map((one) => one.name))];
}

/** A field that waits until somebody has stopped typing. */
function Typed({ label, value, onTyped, placeholder }: { label: string; value: string; onTyped: (value: string) => void; placeholder: string }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => onTyped(text), TYPED_MS);
    return () => clearTimeout(timer);
  });
  return <TextField label={label} type="search" value={text} placeholder={placeholder} onChange={(event) => setText(event.target.value)} />;
}

function Pages({ offset, more, onGo }: { offset: number; more: boolean; onGo: (offset: number) => void }) {
  if (!offset && !more) return null;
  return (
    <nav className="pages row spread" aria-label="Pages of replays">
      <Button because={offset ? "" : "These are the newest"} onClick={() => onGo(Math.max(0, offset - PAGE))}>
        Newer
      </Button>
      <Button because={more ? "" : "There are no older ones"} onClick={() => onGo(offset + PAGE)}>
        Older
      </Button>
    </nav>
  );
}

function How() {
  return (
    <Empty whole title="No request was kept yet">
      <p>
        A decision keeps its requests with the plugin <code>router_replay</code>. Personal data and secrets are masked before anything is kept.
      </p>
      <pre tabIndex={0}>{EXAMPLE}</pre>
    </Empty>
  );
}

const EXAMPLE = `routing:
  decisions:
    - name: hard
      when: domain:math
      models: [large]
      plugins:
        router_replay: {request_body: true, response_body: true}`;
