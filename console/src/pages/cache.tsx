/** The response cache: how often it answers, what it holds, and letting answers go. */

import { useId, useState, type FormEvent, type ReactNode } from "react";

import { api, part } from "../api/client";
import type { CacheEntries, CacheView } from "../api/types";
import { bytes, count, percent, seconds } from "../format";
import { useDo, useLoad } from "../load";
import { Badge, Button, Card, Dialog, Empty, Loading, Notice, Only, PageHead, Select, Table, TextArea, TextField, Trouble } from "../parts";
import { useMe } from "../session";
import "./more.css";

type Entry = CacheEntries["entries"][number];

/** As the management API answers POST /response-cache/test. */
interface Tested {
  shared: boolean;
  why: string;
  similarity: number | null;
  first: { decision: string; model: string; cache: string };
  second: { decision: string; model: string; cache: string };
}

/** As it answers POST /response-cache/invalidate. */
interface Changed {
  dry_run: boolean;
  answers: number;
  stores: { store: string; answers: number; error: string }[];
}

export function Cache(): ReactNode {
  const { has } = useMe();
  const { value, error, again } = useLoad<CacheView>("/cache", 5000);
  const stores = value?.stores ?? [];
  return (
    <>
      <PageHead title="Cache" lead="Answers that are given again: how often, which, and letting them go." />
      {error && <Trouble error={error} again={again} />}
      {!value && !error && <Loading />}
      {value && stores.length === 0 && <NoCache configured={has.cache} />}
      {stores.length > 0 && (
        <>
          <Stores stores={stores} />
          <Shared />
          <Only role="operator" to="read kept answers, or let them go">
            <Explorer stores={stores} onChanged={again} />
          </Only>
        </>
      )}
    </>
  );
}

function NoCache({ configured }: { configured: boolean }): ReactNode {
  return (
    <Empty whole title={configured ? "The cache holds nothing yet" : "No decision keeps answers"}>
      <p>
        A decision whose questions come again and again can keep its answers, and give them again to those who ask the
        same: word for word, or by meaning. Add the plugin to it on the page <a href="#/routing">Routing</a>:
      </p>
      <pre tabIndex={0}>{"plugins:\n  response_cache: {}"}</pre>
    </Empty>
  );
}

function Stores({ stores }: { stores: CacheView["stores"] }): ReactNode {
  return (
    <Card title="Stores" flush>
      <Table
        label="Stores of answers"
        rows={stores}
        rowKey={(row) => row.name}
        columns={[
          { key: "name", title: "Store", cell: (row) => <strong>{row.name}</strong>, sort: (row) => row.name },
          { key: "kind", title: "Kind", cell: (row) => row.kind },
          {
            key: "mode",
            title: "How it is",
            cell: (row) => (row.error ? <Badge tone="bad" title={row.error}>{row.error}</Badge> : <span className="soft">{row.mode}</span>),
          },
          { key: "entries", title: "Answers", number: true, cell: (row) => count(row.error ? null : row.entries), sort: (row) => row.entries },
          { key: "bytes", title: "Size", number: true, cell: (row) => bytes(row.error ? null : row.bytes), sort: (row) => row.bytes },
          { key: "hits", title: "Hits", number: true, cell: (row) => count(row.hits), sort: (row) => row.hits },
          { key: "misses", title: "Misses", number: true, cell: (row) => count(row.misses), sort: (row) => row.misses },
          {
            key: "rate",
            title: "Hit rate",
            number: true,
            cell: (row) => percent(row.hits + row.misses > 0 ? row.hits / (row.hits + row.misses) : null),
            sort: (row) => row.hits / (row.hits + row.misses || 1),
          },
        ]}
      />
    </Card>
  );
}

/** Would the second request be answered with the first one's answer? Nobody is asked. */
function Shared(): ReactNode {
  const [first, setFirst] = useState("");
  const [second, setSecond] = useState("");
  const [tested, setTested] = useState<Tested | null>(null);
  const test = useDo(async () => {
    setTested(await api.post<Tested>("/cache/test", { first: { text: first }, second: { text: second } }));
  });
  const ready = first.trim() !== "" && second.trim() !== "";
  return (
    <Card title="Would two requests share an answer?" lead="Both go through the real rules against an empty cache; no model is asked.">
      <form
        className="stack tight"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) void test.run();
        }}
      >
        <div className="grid">
          <TextArea label="The first, which was answered" rows={2} value={first} onChange={(e) => setFirst(e.target.value)} />
          <TextArea label="The second, which comes later" rows={2} value={second} onChange={(e) => setSecond(e.target.value)} />
        </div>
        <div className="row">
          <Button type="submit" busy={test.busy} disabled={!ready}>
            Test
          </Button>
        </div>
        {test.error && <Trouble error={test.error} />}
        {tested && (
          <div role="status">
            <Notice tone={tested.shared ? "good" : "plain"} title={tested.shared ? "Yes, they would share it." : "No, each would be answered by itself."}>
              <p>{tested.why}</p>
              <p className="small">
                {tested.similarity !== null && `Likeness ${tested.similarity}. `}
                First: {tested.first.decision || "no decision"} → {tested.first.model || "–"}; second:{" "}
                {tested.second.decision || "no decision"} → {tested.second.model || "–"}.
              </p>
            </Notice>
          </div>
        )}
      </form>
    </Card>
  );
}

const PAGE = 50;
/** More the server does not list at once. */
const MOST = 200;

function Explorer({ stores: all, onChanged }: { stores: CacheView["stores"]; onChanged: () => void }): ReactNode {
  const stores = all.map((each) => each.name);
  const [store, setStore] = useState((all.find((each) => each.lists) ?? all[0])?.name ?? "");
  const lists = all.find((each) => each.name === store)?.lists ?? false;
  const [typed, setTyped] = useState("");
  const [search, setSearch] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const [open, setOpen] = useState<Entry | null>(null);
  const query = new URLSearchParams({ store, search, limit: String(limit) });
  const { value, error, again } = useLoad<CacheEntries>(lists ? `/cache/entries?${query}` : null);
  const changed = () => {
    again();
    onChanged();
  };
  const drop = useDo(async (entry: Entry) => {
    await api.del(`/cache/entries/${part(entry.id)}`, { store });
    setOpen(null);
    changed();
  });
  const look = (e: FormEvent) => {
    e.preventDefault();
    setSearch(typed.trim());
    setLimit(PAGE);
  };
  return (
    <>
      <Card title="Kept answers" lead="They hold what people asked, so only operators read them.">
        <form className="row explorer" role="search" onSubmit={look}>
          {stores.length > 1 && <Select label="Store" choices={stores} value={store} onChange={(e) => setStore(e.target.value)} />}
          <TextField label="Words in the question or the answer" type="search" value={typed} onChange={(e) => setTyped(e.target.value)} />
          <Button type="submit">Search</Button>
        </form>
        {error && <Trouble error={error} again={again} />}
        {!lists && <p className="soft">This store cannot list what it keeps; answers can be let go of below.</p>}
        {lists && !value && !error && <Loading />}
        {value && (
          <Table
            label="Answers"
            rows={value.entries}
            rowKey={(row) => row.id}
            onRow={setOpen}
            rowLabel={(row) => `Read the answer to: ${row.text.slice(0, 80)}`}
            empty={<Empty title={search ? "Nothing kept has these words" : "Nothing is kept yet"}>Answers appear once a decision with the plugin response_cache has given one.</Empty>}
            columns={[
              { key: "text", title: "Asked", cell: (row) => <span className="clip">{row.text || "(kept as a digest only)"}</span> },
              { key: "decision", title: "Decision", cell: (row) => row.decision, sort: (row) => row.decision },
              { key: "model", title: "Model", cell: (row) => row.model, sort: (row) => row.model },
              { key: "age", title: "Age", number: true, cell: (row) => seconds(row.age_s), sort: (row) => row.age_s },
              { key: "expires", title: "Ends in", number: true, minor: true, cell: (row) => seconds(row.expires_s), sort: (row) => row.expires_s },
              { key: "bytes", title: "Size", number: true, minor: true, cell: (row) => bytes(row.bytes), sort: (row) => row.bytes },
            ]}
          />
        )}
        {value?.more && (
          <div className="row">
            {limit < MOST && <Button onClick={() => setLimit(limit + PAGE)}>Show more</Button>}
            <span className="soft small">
              {count(value.looked_at)} were looked at.{limit >= MOST && " Search for words to see others."}
            </span>
          </div>
        )}
      </Card>
      <Invalidate stores={stores} onChanged={changed} />
      {open && (
        <Dialog
          title="A kept answer"
          wide
          onClose={() => setOpen(null)}
          actions={
            <>
              <Button onClick={() => setOpen(null)}>Close</Button>
              <Button kind="danger" busy={drop.busy} onClick={() => void drop.run(open)}>
                Let it go
              </Button>
            </>
          }
        >
          <div className="stack tight">
            {drop.error && <Trouble error={drop.error} />}
            <h3>Asked</h3>
            <p className="kept-text">{open.text || "Kept as a digest only."}</p>
            <h3>Answered by {open.model}</h3>
            <p className="kept-text">{open.answer}</p>
            <p className="soft small">Kept for: {open.partition || "everybody"}.</p>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** Counted first; only then may it be done. */
function Invalidate({ stores, onChanged }: { stores: readonly string[]; onChanged: () => void }): ReactNode {
  const id = useId();
  const [decision, setDecision] = useState("");
  const [model, setModel] = useState("");
  const [older, setOlder] = useState("");
  const [store, setStore] = useState("");
  const [counted, setCounted] = useState<Changed | null>(null);
  const [done, setDone] = useState<Changed | null>(null);
  const selector = {
    ...(decision.trim() && { decision: decision.trim() }),
    ...(model.trim() && { model: model.trim() }),
    ...(Number(older) > 0 && { older_than_s: Number(older) * 60 }),
  };
  const asked = Object.keys(selector).length > 0;
  const ask = (dry_run: boolean) => api.post<Changed>("/cache/invalidate", { selector, store, dry_run });
  const dry = useDo(async () => {
    setDone(null);
    setCounted(await ask(true));
  });
  const act = useDo(async () => {
    setDone(await ask(false));
    setCounted(null);
    onChanged();
  });
  const changed = (set: (text: string) => void) => (e: { target: { value: string } }) => {
    set(e.target.value);
    setCounted(null);
    setDone(null);
  };
  return (
    <Card title="Let answers go" lead="Everything given must hold. They are counted before anything is lost.">
      <form
        id={id}
        className="stack tight"
        onSubmit={(e) => {
          e.preventDefault();
          if (asked) void dry.run();
        }}
      >
        <div className="grid narrow">
          <TextField label="Decision" value={decision} onChange={changed(setDecision)} />
          <TextField label="Model" value={model} onChange={changed(setModel)} />
          <TextField label="Older than (minutes)" type="number" min={1} value={older} onChange={changed(setOlder)} />
          {stores.length > 1 && (
            <Select label="Store" choices={[{ value: "", text: "all of them" }, ...stores]} value={store} onChange={changed(setStore)} />
          )}
        </div>
        <div className="row">
          <Button type="submit" busy={dry.busy} because={asked ? "" : "Say which: a decision, a model, or an age."}>
            Count them
          </Button>
          {counted && (
            <Button kind="danger" busy={act.busy} disabled={counted.answers === 0} onClick={() => void act.run()}>
              Let {count(counted.answers)} go
            </Button>
          )}
          <span role="status">
            {counted && (counted.answers === 0 ? "No answer is meant by this." : `${count(counted.answers)} answers are meant.`)}
            {done && `${count(done.answers)} answers were let go.`}
          </span>
        </div>
        {(dry.error ?? act.error) && <Trouble error={(dry.error ?? act.error)!} />}
      </form>
    </Card>
  );
}
