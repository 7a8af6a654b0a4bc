/** Models as a service: tiers and their limits, keys, and who took how much. */

import { useId, useState, type ReactNode } from "react";

import { api, part } from "../api/client";
import type { Access as AccessAnswer } from "../api/types";
import { ago, count, money, time } from "../format";
import { useDo, useLoad } from "../load";
import { Badge, Button, Card, Dialog, Empty, Loading, Notice, PageHead, Select, Table, TextField, Trouble } from "../parts";
import { useMe, useSession } from "../session";
import "./more.css";

type Key = AccessAnswer["keys"][number];
type Tier = AccessAnswer["tiers"][number];

export function Access(): ReactNode {
  const { has } = useMe();
  const { value, error, again } = useLoad<AccessAnswer>(has.access ? "/access" : null);
  return (
    <>
      <PageHead title="Access" lead="Who may ask which models, with which keys, and how much they took." />
      {!has.access && <NotConfigured />}
      {error && <Trouble error={error} again={again} />}
      {has.access && !value && !error && <Loading />}
      {value && (
        <>
          <Keys keys={value.keys} tiers={value.tiers} onChanged={again} />
          <Tiers tiers={value.tiers} currency={value.currency} />
          <Usage usage={value.usage} currency={value.currency} />
        </>
      )}
    </>
  );
}

function NotConfigured(): ReactNode {
  return (
    <Empty whole title="Whoever reaches the router may ask">
      <p>
        With <code>maas</code>, people show a token or a key, belong to a tier, and each tier has its models and its
        limits. It begins with these lines, and takes effect at the next start:
      </p>
      <pre tabIndex={0}>
        {"maas:\n  tiers:\n    - name: free\n      groups: [\"system:authenticated\"]\n      tokens: [{limit: 10000, window: 1h}]\nmodels:\n  my-model:\n    tiers: [free]"}
      </pre>
      <p>
        Edit them on the page <a href="#/routing/rest/default/maas">Routing</a>.
      </p>
    </Empty>
  );
}

function stateOf(key: Key): { text: string; tone: "good" | "warn" | "bad" } {
  if (key.revoked) return { text: "revoked", tone: "bad" };
  if (key.expires !== null && key.expires * 1000 < Date.now()) return { text: "expired", tone: "warn" };
  return { text: "good", tone: "good" };
}

function Keys({ keys, tiers, onChanged }: { keys: readonly Key[]; tiers: readonly Tier[]; onChanged: () => void }): ReactNode {
  const { may } = useSession();
  const { role } = useMe();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Key | null>(null);
  const because = may("admin") ? "" : `Your role (${role}) may look; administrators make and revoke keys.`;
  const make = (
    <Button kind="primary" because={because} onClick={() => setMaking(true)}>
      Make a key
    </Button>
  );
  return (
    <Card title="Keys" aside={make} flush>
      <Table
        label="All keys"
        rows={keys}
        rowKey={(row) => row.id}
        empty={<Empty title="No keys yet">A key lets one program or person ask. It is shown once, when it is made.</Empty>}
        columns={[
          { key: "name", title: "Name", cell: (row) => <strong>{row.name}</strong>, sort: (row) => row.name },
          { key: "state", title: "State", cell: (row) => <Badge tone={stateOf(row).tone}>{stateOf(row).text}</Badge>, sort: (row) => stateOf(row).text },
          { key: "owner", title: "Owner", cell: (row) => row.owner, sort: (row) => row.owner },
          { key: "tier", title: "Tier", cell: (row) => row.tier, sort: (row) => row.tier },
          { key: "created", title: "Made", cell: (row) => time(row.created), sort: (row) => row.created, minor: true },
          { key: "expires", title: "Ends", cell: (row) => (row.expires === null ? "never" : time(row.expires)), sort: (row) => row.expires },
          { key: "used", title: "Last used", cell: (row) => (row.last_used === null ? "never" : ago(row.last_used)), sort: (row) => row.last_used, minor: true },
          {
            key: "revoke",
            title: <span className="hidden">Act</span>,
            cell: (row) =>
              !row.revoked && (
                <Button kind="danger" because={because} aria-label={`Revoke ${row.name}`} onClick={() => setRevoking(row)}>
                  Revoke
                </Button>
              ),
          },
        ]}
      />
      {making && (
        <NewKey
          tiers={tiers}
          onMade={onChanged}
          onClose={() => setMaking(false)}
        />
      )}
      {revoking && (
        <Revoke
          apiKey={revoking}
          onClose={() => setRevoking(null)}
          onDone={() => {
            setRevoking(null);
            onChanged();
          }}
        />
      )}
    </Card>
  );
}

const DAY = 86400;
const LENGTHS = [
  { value: String(DAY), text: "a day" },
  { value: String(7 * DAY), text: "a week" },
  { value: String(30 * DAY), text: "30 days" },
  { value: String(90 * DAY), text: "90 days" },
  { value: "", text: "as the settings say" },
] as const;

function NewKey({ tiers, onMade, onClose }: { tiers: readonly Tier[]; onMade: () => void; onClose: () => void }): ReactNode {
  const id = useId();
  const [name, setName] = useState("");
  const [tier, setTier] = useState(tiers[0]?.name ?? "");
  const [length, setLength] = useState<string>(LENGTHS[2].value);
  const [made, setMade] = useState("");
  const make = useDo(async () => {
    const body = { name: name.trim(), tier, ...(length !== "" && { expires_s: Number(length) }) };
    setMade((await api.post<{ key: string }>("/access/keys", body)).key);
    onMade();
  });
  if (made) return <Once apiKey={made} name={name.trim()} onClose={onClose} />;
  return (
    <Dialog
      title="A new key"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={id} busy={make.busy} disabled={name.trim() === ""}>
            Make it
          </Button>
        </>
      }
    >
      <form
        id={id}
        className="stack tight"
        onSubmit={(e) => {
          e.preventDefault();
          if (name.trim() !== "") void make.run();
        }}
      >
        {make.error && <Trouble error={make.error} />}
        <TextField label="Name" hint="Whose it is, or what it is for." required maxLength={128} value={name} onChange={(e) => setName(e.target.value)} />
        <Select label="Tier" choices={tiers.map((each) => each.name)} value={tier} onChange={(e) => setTier(e.target.value)} />
        <Select label="Good for" choices={LENGTHS} value={length} onChange={(e) => setLength(e.target.value)} />
      </form>
    </Dialog>
  );
}

/** The only time that a key is seen. */
function Once({ apiKey, name, onClose }: { apiKey: string; name: string; onClose: () => void }): ReactNode {
  const [copied, setCopied] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(apiKey);
      setCopied("Copied.");
    } catch {
      setCopied("The browser does not let us copy: select it and copy it yourself.");
    }
  };
  return (
    <Dialog
      title={`The key of ${name}`}
      onClose={onClose}
      actions={
        <Button kind="primary" onClick={onClose}>
          I have it
        </Button>
      }
    >
      <div className="stack tight">
        <Notice tone="warn" title="It is shown this once.">
          Only a digest of it is kept. Whoever loses it makes another one and revokes this.
        </Notice>
        <div className="once">
          <code data-testid="key">{apiKey}</code>
          <Button onClick={() => void copy()}>Copy</Button>
        </div>
        <p role="status" className="small">
          {copied}
        </p>
        <p className="soft small">
          Send it as <code>Authorization: Bearer …</code>
        </p>
      </div>
    </Dialog>
  );
}

function Revoke({ apiKey, onClose, onDone }: { apiKey: Key; onClose: () => void; onDone: () => void }): ReactNode {
  const revoke = useDo(async () => {
    await api.del(`/access/keys/${part(apiKey.id)}`);
    onDone();
  });
  return (
    <Dialog
      title={`Revoke ${apiKey.name}?`}
      onClose={onClose}
      actions={
        <>
          <Button autoFocus onClick={onClose}>
            Keep it
          </Button>
          <Button kind="danger" busy={revoke.busy} onClick={() => void revoke.run()}>
            Revoke it
          </Button>
        </>
      }
    >
      {revoke.error && <Trouble error={revoke.error} />}
      <p>Requests with this key are refused from now on. It cannot be taken back.</p>
    </Dialog>
  );
}

const MOST_SHOWN = 8;

function Tiers({ tiers, currency }: { tiers: readonly Tier[]; currency: string }): ReactNode {
  return (
    <Card title="Tiers" lead="Of several tiers that somebody's groups are in, the one with the highest level counts." flush>
      <Table
        label="All tiers"
        rows={tiers}
        sorted="-level"
        rowKey={(row) => row.name}
        empty={<Empty title="No tiers">Nobody may ask until there is one.</Empty>}
        columns={[
          { key: "name", title: "Tier", cell: (row) => <strong>{row.name}</strong>, sort: (row) => row.name },
          { key: "level", title: "Level", number: true, cell: (row) => row.level, sort: (row) => row.level },
          { key: "groups", title: "Groups", cell: (row) => row.groups.join(", ") || "none" },
          {
            key: "models",
            title: "Models",
            cell: (row) =>
              row.models.length > MOST_SHOWN
                ? `${row.models.slice(0, MOST_SHOWN).join(", ")} and ${row.models.length - MOST_SHOWN} more`
                : row.models.join(", ") || "none",
          },
          {
            key: "limits",
            title: "Limits, for each user",
            cell: (row) =>
              row.limits.length === 0 ? (
                "none"
              ) : (
                <ul className="limits">
                  {row.limits.map((limit, i) => (
                    <li key={i}>
                      {limit.what === "budgets" ? money(limit.amount, currency) : `${count(limit.amount)} ${limit.what}`} in {limit.window}
                    </li>
                  ))}
                </ul>
              ),
          },
        ]}
      />
    </Card>
  );
}

function Usage({ usage, currency }: { usage: AccessAnswer["usage"]; currency: string }): ReactNode {
  const sum = (of: "requests" | "prompt_tokens" | "completion_tokens" | "cost") => usage.reduce((total, row) => total + row[of], 0);
  return (
    <Card title="Usage" lead="Of the last thirty days." flush>
      <Table
        label="Usage by person and model"
        sorted="-cost"
        rows={usage}
        rowKey={(row) => `${row.who} ${row.tier} ${row.model}`}
        empty={<Empty title="Nobody has asked yet">What each person takes of each model is counted here.</Empty>}
        columns={[
          { key: "who", title: "Who", cell: (row) => row.who, sort: (row) => row.who },
          { key: "tier", title: "Tier", cell: (row) => row.tier, sort: (row) => row.tier },
          { key: "model", title: "Model", cell: (row) => row.model, sort: (row) => row.model },
          { key: "requests", title: "Requests", number: true, cell: (row) => count(row.requests), sort: (row) => row.requests },
          { key: "in", title: "Tokens in", number: true, cell: (row) => count(row.prompt_tokens), sort: (row) => row.prompt_tokens },
          { key: "out", title: "Tokens out", number: true, cell: (row) => count(row.completion_tokens), sort: (row) => row.completion_tokens },
          { key: "cost", title: "Cost", number: true, cell: (row) => money(row.cost, currency), sort: (row) => row.cost },
        ]}
      />
      {usage.length > 0 && (
        <p className="totals">
          <strong>Together:</strong> {count(sum("requests"))} requests, {count(sum("prompt_tokens"))} tokens in,{" "}
          {count(sum("completion_tokens"))} out, {money(sum("cost"), currency)}.
        </p>
      )}
    </Card>
  );
}
