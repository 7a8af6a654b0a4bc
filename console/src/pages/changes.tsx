/** What was changed: versions of the configuration, going back to one, and who did what. */

import { useState, type ReactNode } from "react";

import { api, part } from "../api/client";
import type { Audit, Config, Version } from "../api/types";
import { ago, time } from "../format";
import { useDo, useLoad } from "../load";
import { Badge, Button, Card, Dialog, Diff, Empty, Loading, PageHead, Table, Trouble } from "../parts";
import { useMe, useSession } from "../session";
import "./more.css";

interface Versions {
  versions: Version[];
}

export function Changes(): ReactNode {
  const versions = useLoad<Versions>("/config/versions");
  const audit = useLoad<Audit>("/audit");
  const [open, setOpen] = useState<Version | null>(null);
  const again = () => {
    versions.again();
    audit.again();
  };
  return (
    <>
      <PageHead title="Changes" lead="Every version of the configuration, and who changed what." />
      {versions.error && <Trouble error={versions.error} again={versions.again} />}
      {!versions.value && !versions.error && <Loading />}
      {versions.value && (
        <Card title="Versions of the configuration" flush>
          <Table
            label="Versions"
            rows={versions.value.versions}
            rowKey={(row) => row.version}
            onRow={setOpen}
            rowLabel={(row) => `What changed in ${row.version}`}
            empty={
              <Empty title="No versions yet">
                Each change that is saved here is a version: who made it, when and why, and one click goes back to it.
              </Empty>
            }
            columns={[
              {
                key: "at",
                title: "When",
                cell: (row) => (
                  <span className="state">
                    <span>{time(row.at)}</span>
                    {row.in_force && <Badge tone="good">in force</Badge>}
                  </span>
                ),
                sort: (row) => row.at,
              },
              { key: "by", title: "Who", cell: (row) => row.by, sort: (row) => row.by },
              { key: "note", title: "Why", cell: (row) => row.note || <span className="soft">no note</span> },
              { key: "digest", title: "Digest", minor: true, cell: (row) => <code>{row.digest.slice(0, 12)}</code> },
            ]}
          />
        </Card>
      )}
      <AuditLog audit={audit.value} error={audit.error && <Trouble error={audit.error} again={audit.again} />} />
      {open && <VersionDialog version={open} onClose={() => setOpen(null)} onBack={again} />}
    </>
  );
}

function VersionDialog({ version, onClose, onBack }: { version: Version; onClose: () => void; onBack: () => void }): ReactNode {
  const { may } = useSession();
  const { has, role } = useMe();
  const [sure, setSure] = useState(false);
  const shown = useLoad<{ text: string; diff: string }>(`/config/versions/${part(version.version)}`);
  const back = useDo(async () => {
    const { etag } = await api.get<Config>("/config");
    await api.post<Config>("/config/rollback", { version: version.version, etag });
    onBack();
    onClose();
  });
  const because = !may("operator")
    ? `Your role (${role}) may look; operators change the configuration.`
    : !has.writable
      ? "The file cannot be written from here; the page Routing says why."
      : version.in_force
        ? "It is in force already."
        : "";
  return (
    <Dialog
      title={version.note || "A version without a note"}
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Close</Button>
          {sure ? (
            <Button kind="danger" autoFocus busy={back.busy} onClick={() => void back.run()}>
              Yes, put it into force now
            </Button>
          ) : (
            <Button because={because} onClick={() => setSure(true)}>
              Go back to it…
            </Button>
          )}
        </>
      }
    >
      <div className="stack tight">
        <p>
          By {version.by}, {time(version.at)} ({ago(version.at)}). <span className="mono">{version.version}</span>
        </p>
        {back.error && <Trouble error={back.error} />}
        {shown.error && <Trouble error={shown.error} again={shown.again} />}
        {shown.loading && !shown.value && <Loading />}
        {shown.value && (
          <>
            <h3>Against what is in force</h3>
            {shown.value.diff ? <Diff text={shown.value.diff} label="Against what is in force" /> : <p className="soft">They say the same.</p>}
            <details className="fold">
              <summary>The whole of it</summary>
              <pre className="diff" tabIndex={0}>
                <code className="whole">{shown.value.text}</code>
              </pre>
            </details>
          </>
        )}
      </div>
    </Dialog>
  );
}

function AuditLog({ audit, error }: { audit: Audit | undefined; error: ReactNode }): ReactNode {
  return (
    <Card title="Who did what" lead="Logins and every change; never a secret." flush>
      {error}
      {audit && (
        <Table
          label="Audit"
          rows={audit.entries.map((entry, i) => ({ ...entry, i }))}
          rowKey={(row) => String(row.i)}
          empty={<Empty title="Nothing has been done yet">Whoever logs in or changes something is written down here.</Empty>}
          columns={[
            { key: "at", title: "When", cell: (row) => time(row.at), sort: (row) => row.at },
            { key: "who", title: "Who", cell: (row) => `${row.who} (${row.role})`, sort: (row) => row.who },
            { key: "what", title: "What", cell: (row) => row.what, sort: (row) => row.what },
            { key: "target", title: "To what", cell: (row) => <span className="clip">{row.target}</span> },
            { key: "outcome", title: "Outcome", cell: (row) => <Badge tone={/^(ok|done|2\d\d)/.test(row.outcome) ? "good" : "bad"}>{row.outcome}</Badge>, sort: (row) => row.outcome },
            { key: "from", title: "From", minor: true, cell: (row) => row.from },
          ]}
        />
      )}
    </Card>
  );
}
