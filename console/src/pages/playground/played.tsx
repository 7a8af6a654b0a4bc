/** Why a prompt goes where it goes: signals, decisions, models, and what would change it. */
import type { Played } from "../../api/types";
import { ms } from "../../format";
import { Badge, Bars, Card, type Tone } from "../../parts";
import type { Bar } from "../../parts/chart";

type Signal = Played["signals"][number];

export function Verdict({ played }: { played: Played }) {
  return (
    <div className="verdict" role="status">
      <p className="verdict-way">
        <span>{played.decided || "no decision"}</span>
        <span aria-label="is answered by" className="verdict-arrow">
          →
        </span>
        <strong>{played.model || "no model"}</strong>
      </p>
      <p>{played.why}</p>
      <p className="soft small">Decided in {ms(played.took_ms)}. Nobody was asked.</p>
    </div>
  );
}

export function Signals({ signals }: Pick<Played, "signals">) {
  const order = [...signals].sort((a, b) => Number(b.matched) - Number(a.matched) || nearness(b) - nearness(a));
  return (
    <Card className="play-signals" title="Signals" lead="What was read in it. The line on a bar is the threshold.">
      {order.length ? <Bars label="Signals with their scores" max={1} bars={order.map(barOf)} /> : <p className="soft">No decision asks for a signal.</p>}
    </Card>
  );
}

function barOf(signal: Signal): Bar {
  const { score, threshold, matched, unknown } = signal;
  // Scores are mostly shares of one; a count of tokens is drawn against its own threshold.
  const whole = Math.max(1, (score ?? 0) > 1 || (threshold ?? 0) > 1 ? 1.25 * Math.max(score ?? 0, threshold ?? 0) : 1);
  const length = score === null ? (matched ? 1 : 0) : score / whole;
  return {
    key: `${signal.kind}:${signal.name}`,
    label: (
      <span className={matched ? "signal matched" : "signal"}>
        <span>
          <span className="node-kind">{signal.kind}</span>
          {signal.name}
        </span>
        {signal.because && <span className="signal-because">{signal.because}</span>}
      </span>
    ),
    value: unknown ? null : length,
    threshold: threshold === null || unknown ? null : threshold / whole,
    tone: matched ? "accent" : "soft",
    text: (
      <>
        {unknown ? <Badge tone="warn">unknown</Badge> : score === null ? "" : figure(score)}{" "}
        {!unknown && <Badge tone={matched ? "accent" : "plain"}>{matched ? "matched" : "no"}</Badge>}
      </>
    ),
  };
}

function nearness({ score, threshold }: Signal): number {
  return score === null || !threshold ? -1 : score / threshold;
}

/** Shares have two digits, counts none. */
const figure = (score: number) => (Number.isInteger(score) && score > 1 ? score.toFixed(0) : score.toFixed(2));

export function Decisions({ decisions }: Pick<Played, "decisions">) {
  return (
    <Card className="play-decisions" title="Decisions" lead="The first that matches wins, the highest priority first.">
      {!decisions.length && <p className="soft">There are none yet: the default model answers everything.</p>}
      <ol className="decided">
      {decisions.map((one) => {
        const [tone, word]: [Tone, string] = one.chosen ? ["accent", "chosen"] : one.matched ? ["plain", "matched"] : ["plain", "no"];
        return (
          <li key={one.name} className={one.chosen ? "chosen" : one.matched ? "" : "no"}>
            <span className="decided-priority" title="Priority">
              {one.priority}
            </span>
            <span>
              <strong>{one.name}</strong>
              <span className="signal-because">{one.why}</span>
            </span>
            <Badge tone={tone}>{word}</Badge>
          </li>
        );
      })}
      </ol>
    </Card>
  );
}

export function Models({ models }: Pick<Played, "models">) {
  const scored = models.some((one) => one.score !== null);
  return (
    <Card className="play-models" title="Models" lead="Those that this decision chooses from.">
      {!models.length && <p className="soft">No model is asked: it is answered here.</p>}
      <ol className="decided">
      {models.map((one) => (
        <li key={one.name} className={one.chosen ? "chosen" : one.allowed ? "" : "no"}>
          <span>
            <strong>{one.name}</strong>
            <span className="signal-because">{one.why}</span>
          </span>
          {scored && <span className="soft small">{one.score === null ? "–" : figure(one.score)}</span>}
          <Badge tone={one.chosen ? "accent" : one.allowed ? "plain" : "warn"}>{one.chosen ? "chosen" : one.allowed ? "possible" : "not allowed"}</Badge>
        </li>
      ))}
      </ol>
    </Card>
  );
}

export function Otherwise({ otherwise }: Pick<Played, "otherwise">) {
  return (
    <Card className="play-otherwise" title="What would change it" lead="The least change first.">
      {otherwise.length ? (
        <ul className="otherwise">
          {otherwise.map((one) => (
            <li key={`${one.change} ${one.decision}`}>
              <span>{one.change}</span>
              <span className="soft">
                <span aria-label="then">→</span> {one.decision || "no decision"}, <strong>{one.model || "no model"}</strong>
              </span>
            </li>
          ))}
        </ul>
      ) : (
        <p className="soft">No single signal would send it elsewhere.</p>
      )}
    </Card>
  );
}
