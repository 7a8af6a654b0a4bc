/** One request that has passed: where it went, why, and where its time was spent. */
import type { Passed } from "../../api/types";
import { count, ms, money, time } from "../../format";
import { Badge, Bars, Dialog } from "../../parts";
import { href } from "../../router";
import { failed, host } from "./line";

const PATHS: Record<string, string> = {
  cache: "given from the cache",
  fast_response: "answered here, no model was asked",
  looper: "answered by several models together",
};

export function Request({ passed, currency, onClose }: { passed: Passed; currency: string; onClose: () => void }) {
  const waited = passed.first_byte_ms === null ? null : Math.max(0, passed.first_byte_ms - passed.routing_ms);
  const rest = Math.max(0, passed.total_ms - (passed.first_byte_ms ?? passed.routing_ms));
  return (
    <Dialog
      title={`Request at ${time(passed.at)}`}
      onClose={onClose}
      actions={
        passed.replay ? (
          <a className="button primary" href={href("replays", [passed.id])}>
            Open its replay
          </a>
        ) : undefined
      }
    >
      <div className="stack">
        <Way passed={passed} />
        {passed.why && <p>{passed.why}</p>}
        <Bars
          label="Where its time was spent"
          max={passed.total_ms || 1}
          bars={[
            { key: "routing", label: "Deciding", value: passed.routing_ms, text: ms(passed.routing_ms) },
            ...(waited === null ? [] : [{ key: "first", label: "Until the first byte", value: waited, text: ms(waited), tone: "soft" as const }]),
            { key: "rest", label: waited === null ? "Answering" : "The rest of the answer", value: rest, text: ms(rest), tone: "soft" as const },
          ]}
        />
        <dl className="facts">
          <Fact name="Status" value={<Outcome passed={passed} />} />
          <Fact name="Asked for" value={passed.requested || "auto"} />
          <Fact name="Whole time" value={ms(passed.total_ms)} />
          <Fact name="Tokens" value={`${count(passed.prompt_tokens)} in, ${count(passed.completion_tokens)} out`} />
          <Fact name="Cost" value={money(passed.cost, currency)} />
          {passed.attempts > 1 && <Fact name="Attempts" value={count(passed.attempts)} />}
          {passed.algorithm && <Fact name="Chosen by" value={passed.algorithm} />}
          <Fact name="Request id" value={<code>{passed.id}</code>} />
        </dl>
        {!passed.replay && (
          <p className="soft small">
            Its prompt was not kept. The plugin <code>router_replay</code> of a decision keeps one, so that it can be looked at and decided again.
          </p>
        )}
      </div>
    </Dialog>
  );
}

/** Signals → decision → model → replica, in words. */
function Way({ passed }: { passed: Passed }) {
  return (
    <ol className="way">
      <li>
        <span className="way-step">Signals</span>
        <span className="row">
          {passed.signals.length
            ? passed.signals.map((signal) => (
                <Badge key={signal} tone="accent">
                  {signal}
                </Badge>
              ))
            : "none matched"}
        </span>
      </li>
      <li>
        <span className="way-step">Decision</span>
        <strong>{passed.decision || "none"}</strong>
      </li>
      <li>
        <span className="way-step">Model</span>
        <span>
          <strong>{passed.model || "none"}</strong> {PATHS[passed.path] && <span className="soft">{PATHS[passed.path]}</span>}
        </span>
      </li>
      {passed.endpoint && (
        <li>
          <span className="way-step">Replica</span>
          <span className="mono">{host(passed.endpoint)}</span>
        </li>
      )}
    </ol>
  );
}

export function Outcome({ passed }: { passed: Passed }) {
  if (failed(passed)) {
    return (
      <Badge tone="bad">
        {passed.status || "failed"} {passed.reason}
      </Badge>
    );
  }
  if (passed.path === "cache") return <Badge tone="accent">cached</Badge>;
  if (passed.path === "fast_response") return <Badge>answered here</Badge>;
  return <Badge tone="good">{passed.status}</Badge>;
}

export function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
