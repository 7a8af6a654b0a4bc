/** One request as it was kept, and what would become of it now. */
import { useState } from "react";
import { api, part } from "../../api/client";
import type { Again } from "../../api/types";
import { count, ms, money, time } from "../../format";
import { useDo, useLoad } from "../../load";
import { Badge, Button, Card, Loading, Notice, PageHead, Trouble } from "../../parts";
import { go, href } from "../../router";
import { Fact } from "../live/request";
import { handOver, messagesOf, type Message } from "../playground/messages";
import { Decisions, Models, Otherwise, Signals } from "../playground/played";
import { answerOf, signalsOf, type Replay } from "./record";

export function One({ id }: { id: string }) {
  const found = useLoad<Replay>(`/replays/${part(id)}`);
  const [again, setAgain] = useState<Again | null>(null);
  const decide = useDo(async () => setAgain(await api.post<Again>(`/replays/${part(id)}/again`)));
  const replay = found.value;
  const messages = messagesOf(replay?.request_body ?? "");
  const unkept = messages.length ? "" : "Its prompt was not kept: set request_body of the plugin router_replay";
  return (
    <>
      <PageHead title="Replay" lead={replay && `${time(replay.timestamp)}, ${replay.id}`}>
        <a className="button quiet" href={href("replays")}>
          ‹ All
        </a>
        <Button
          because={unkept}
          onClick={() => {
            handOver(messages);
            go(href("playground"));
          }}
        >
          Open in the playground
        </Button>
        <Button kind="primary" because={unkept} busy={decide.busy} onClick={() => void decide.run()}>
          Decide again now
        </Button>
      </PageHead>
      {found.error && <Trouble error={found.error} again={found.again} />}
      {!replay && found.loading && <Loading />}
      {decide.error && <Trouble error={decide.error} />}
      {again && <Compared again={again} />}
      {replay && <Record replay={replay} messages={messages} />}
      {again && (
        <div className="play">
          <div className="stack">
            <Signals signals={again.after.signals} />
            <Models models={again.after.models} />
          </div>
          <div className="stack">
            <Otherwise otherwise={again.after.otherwise} />
            <Decisions decisions={again.after.decisions} />
          </div>
        </div>
      )}
    </>
  );
}

function Compared({ again: { before, after } }: { again: Again }) {
  const same = before.model === after.model && before.decision === after.decided;
  return (
    <Card title={same ? "It would go the same way" : "It would go another way"} aside={<Badge tone={same ? "good" : "warn"}>{same ? "same" : "moved"}</Badge>}>
      <dl className="compared">
        <div>
          <dt>Then</dt>
          <dd>
            {before.decision || "no decision"} → <strong>{before.model || "no model"}</strong>
          </dd>
        </div>
        <div>
          <dt>Now</dt>
          <dd>
            {after.decided || "no decision"} → <strong>{after.model || "no model"}</strong>
          </dd>
        </div>
      </dl>
      <p className="soft">{after.why}</p>
    </Card>
  );
}

function Record({ replay, messages }: { replay: Replay; messages: Message[] }) {
  const answer = answerOf(replay.response_body ?? "");
  return (
    <div className="grid top">
      <Card title="What was said">
        <div className="stack tight">
          {replay.unredacted && <Notice tone="warn" title="Texts were left out.">{`Nobody could say what in them is personal: ${replay.unredacted}`}</Notice>}
          {messages.map((message, at) => (
            <Said key={at} who={message.role} text={message.content} />
          ))}
          {answer && <Said who={replay.selected_model ?? "answer"} text={answer} cut={replay.response_truncated ?? false} />}
          {!messages.length && !replay.unredacted && (
            <p className="soft">
              {replay.request_truncated ? "The request was too long to be kept whole; " : "The request was not kept; "}
              the plugin <code>router_replay</code> has <code>request_body</code> and <code>max_body_bytes</code>.
            </p>
          )}
          {(replay.tool_trace ?? []).map((step, at) => (
            <Said key={`tool${at}`} who={`${step.kind} ${step.name}`} text={step.text} />
          ))}
        </div>
      </Card>
      <Card title="What was decided">
        <div className="stack">
          <p className="row">
            {signalsOf(replay).map((signal) => (
              <Badge key={signal} tone="accent">
                {signal}
              </Badge>
            ))}
            {!signalsOf(replay).length && <span className="soft">No signal matched.</span>}
          </p>
          <dl className="facts">
            <Fact name="Decision" value={replay.decision || "none"} />
            <Fact name="Model" value={replay.selected_model || "none"} />
            <Fact name="Asked for" value={replay.requested_model || "auto"} />
            <Fact name="Status" value={<Badge tone={(replay.response_status ?? 0) < 400 ? "good" : "bad"}>{replay.response_status ?? "–"}</Badge>} />
            <Fact name="Answered by" value={PATHS[replay.response_path ?? ""] ?? replay.response_path} />
            <Fact name="Whole time" value={ms((replay.seconds ?? 0) * 1000)} />
            <Fact name="Tokens" value={`${count(replay.usage?.prompt_tokens)} in, ${count(replay.usage?.completion_tokens)} out`} />
            <Fact name="Cost" value={money(replay.cost, replay.currency)} />
            {replay.user && <Fact name="User" value={replay.user} />}
            {replay.session_id && <Fact name="Session" value={<a href={href("replays", [], { session_id: replay.session_id })}>{replay.session_id}</a>} />}
            {replay.reasoning && <Fact name="Reasoning" value={replay.reasoning} />}
          </dl>
          <details>
            <summary>The whole record</summary>
            <pre className="whole" tabIndex={0}>
              {JSON.stringify(replay, null, 2)}
            </pre>
          </details>
        </div>
      </Card>
    </div>
  );
}

const PATHS: Record<string, string> = { upstream: "the model", cache: "the cache", fast_response: "the router itself", looper: "several models" };

function Said({ who, text, cut = false }: { who: string; text: string; cut?: boolean }) {
  return (
    <div className="turn-said">
      <span className="way-step">{who}</span>
      <p className="said">
        {text}
        {cut && <span className="soft"> (cut)</span>}
      </p>
    </div>
  );
}
