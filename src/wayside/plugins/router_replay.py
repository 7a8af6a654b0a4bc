"""Keep a record of what was decided about each request, to be looked at later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from wayside.catalog import catalog
from wayside.dialects import encode
from wayside.plugins import Answer, Draft
from wayside.settings import EngineName, EngineOf, Settings, StoreName, StoreOf
from wayside.vocab.ask import Failure, Flow, Mark, Now, ask
from wayside.vocab.prompt import Prompt
from wayside.vocab.stores import Get, Put

SPACE = "router_replay"
"""Where records are kept in their store."""
REPLAY_ID = "x-vsr-replay-id"
_SECRET = re.compile(
    r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|\b(?:sk|pk|hf|ghp|gho|xox[a-z]|AKIA|AIza)[-_]?[A-Za-z0-9_-]{12,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)
"""What looks like a key or a token, wherever it stands."""


class RouterReplayRule(Settings):
    """Example: ``{max_records: 10000, request_body: true, max_body_bytes: 4096}``"""

    store: Annotated[StoreName, StoreOf("documents")] = "memory"
    """Where records are kept."""
    max_records: PositiveInt = 10_000
    """So many are kept; the oldest go."""
    ttl_s: PositiveFloat | None = None
    """How long a record is kept; unset, until there are too many."""
    request_body: bool = False
    """Keep the request as it came, up to `max_body_bytes`."""
    response_body: bool = False
    """Keep the answer as the client got it, up to `max_body_bytes`."""
    max_body_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 4096
    """The most that is kept of one body, and of one tool's arguments or result."""
    max_tool_steps: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Calls of tools and their results, the newest of the conversation; 0 keeps none."""
    redact: bool = True
    """Put names of what they are in the place of personal data, and `[SECRET]` in that of keys,
    before anything is kept. Where the engine gives no answer, no text is kept."""
    engine: Annotated[EngineName, EngineOf("mark")] = "pii"
    """Finds the personal data."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How sure the engine has to be."""

    @model_validator(mode="after")
    def _redacts_something(self) -> RouterReplayRule:
        kept = self.request_body or self.response_body or self.max_tool_steps
        if "redact" in self.model_fields_set and self.redact and not kept:
            raise ValueError("redact does nothing while no body and no tool step is kept")
        return self


class Step(msgspec.Struct):
    """One step of a conversation with tools: a ``call`` with its arguments, or a ``result``."""

    kind: str
    name: str
    text: str


class Replay(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request, as it was decided and answered. ``timestamp`` is in Unix seconds."""

    id: str
    timestamp: float
    user: str = ""
    session_id: str = ""
    recipe: str = ""
    decision: str = ""
    requested_model: str = ""
    selected_model: str = ""
    reasoning: str = ""
    signals: dict[str, list[str]] = {}
    streaming: bool = False
    context_tokens: int = 0
    response_path: str = ""
    response_status: int = 0
    complete: bool = False
    cache_status: str = ""
    seconds: float = 0.0
    usage: dict[str, Any] | None = None
    finish_reason: str = ""
    request_body: str = ""
    request_truncated: bool = False
    response_body: str = ""
    response_truncated: bool = False
    tool_trace: list[Step] = []
    tool_steps_left_out: int = 0
    unredacted: str = ""
    """Why texts were left out: nobody could say what in them is personal."""


@catalog.register("plugin", "router_replay", settings=RouterReplayRule, stability="beta")
class RouterReplayPlugin:
    """Keeps a record of every decision, with bodies if you like, personal data masked."""

    first = True
    """It sees the request as it came, and those that later plugins answer."""

    def __init__(self, rule: RouterReplayRule) -> None:
        self.rule = rule

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None]:
        now = yield from ask(Now())
        name = prompt.headers.get("x-request-id", "")
        record = Replay(
            id=f"replay_{name}" if name else f"replay_{int(now * 1e6):x}",
            timestamp=now,
            user=prompt.user,
            session_id=prompt.headers.get("x-session-id", "")[:256],
            context_tokens=prompt.tokens,
            streaming=prompt.stream,
            requested_model=prompt.model,
            signals=_matched(draft),
        )
        draft.report.append((REPLAY_ID, record.id))
        draft.witnesses.append(_Witness(self.rule, record, draft))


class _Witness:
    """Completes the record when the request is over, and keeps it."""

    def __init__(self, rule: RouterReplayRule, record: Replay, draft: Draft) -> None:
        self._rule, self._record, self._route = rule, record, draft.route
        self._raw = draft.original.encode() if rule.request_body else b""
        turns = draft.original.get("messages") if rule.max_tool_steps else None
        self._steps = list(_steps(turns)) if isinstance(turns, list) else []

    def ended(self, answer: Answer) -> Flow[None]:
        rule, record, route = self._rule, self._record, self._route
        now = yield from ask(Now())
        record.seconds = round(now - record.timestamp, 4)
        record.recipe, record.decision = route.recipe, route.decision
        record.selected_model, record.reasoning = answer.model or route.model, route.reasoning
        record.response_path = answer.path or "upstream"
        record.cache_status = "hit" if answer.path == "cache" else ""
        record.response_status, record.complete = answer.status, answer.complete
        said = answer.completion()
        if said is not None:
            usage = said.get("usage")
            record.usage = usage if isinstance(usage, dict) else None
            choices = [c for c in said.get("choices") or () if isinstance(c, dict)]
            record.finish_reason = str(choices[0].get("finish_reason") or "") if choices else ""
            for choice in choices:
                self._steps += _steps([choice.get("message")]) if rule.max_tool_steps else []
        left_out = max(0, len(self._steps) - rule.max_tool_steps)
        record.tool_steps_left_out = left_out
        record.tool_trace = self._steps[left_out:]
        most = rule.max_body_bytes
        for step in record.tool_trace:
            step.text = step.text[:most]
        if rule.request_body:
            record.request_body, record.request_truncated = _cut(self._raw, most)
        if rule.response_body:
            record.response_body, record.response_truncated = _cut(answer.body, most)
        if rule.redact:
            yield from self._redact(record)
        key = record.id.removeprefix("replay_")
        if (yield from ask(Get(rule.store, SPACE, key))) is not None:
            # Clients choose the ids of requests: one that is used twice replaces no record.
            key = f"{key}-{int(record.timestamp * 1e6):x}"
            record.id = f"replay_{key}"
        value = encode(record)
        yield from ask(Put(rule.store, SPACE, key, value, ttl_s=rule.ttl_s, most=rule.max_records))

    def _redact(self, record: Replay) -> Flow[None]:
        """Mask every text of the record; texts that nobody could read are taken out."""
        texts = [record.request_body, record.response_body, *(s.text for s in record.tool_trace)]
        asked = list(dict.fromkeys(text for text in texts if text.strip()))
        masked: dict[str, str] = {}
        if asked:
            found = yield tuple([Mark(text, self._rule.engine) for text in asked])
            for text, spans in zip(asked, found, strict=True):
                if isinstance(spans, Failure):
                    record.unredacted = spans.reason
                    masked[text] = ""
                    continue
                out, at = [], 0
                for span in spans:
                    if span.score >= self._rule.threshold:
                        out += [text[at : span.start], f"[{span.label}]"]
                        at = span.end
                masked[text] = _SECRET.sub("[SECRET]", "".join([*out, text[at:]]))
        record.request_body = masked.get(record.request_body, "")
        record.response_body = masked.get(record.response_body, "")
        for step in record.tool_trace:
            step.text = masked.get(step.text, "")


def _matched(draft: Draft) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ref, verdict in draft.verdicts.items():
        if verdict.matched:
            found.setdefault(ref.kind, []).append(ref.name)
    return found


def _cut(raw: bytes, most: int) -> tuple[str, bool]:
    return raw[:most].decode("utf-8", "ignore"), len(raw) > most


def _steps(turns: list[Any]) -> Iterator[Step]:
    """The calls of tools in these turns, and their results."""
    for turn in turns:
        if not isinstance(turn, Mapping):
            continue
        calls = turn.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, Mapping) else None
            if isinstance(function, Mapping):
                name, text = function.get("name"), function.get("arguments")
                yield Step("call", str(name), text if isinstance(text, str) else "")
        if turn.get("role") == "tool":
            content = turn.get("content")
            text = content if isinstance(content, str) else encode(content).decode()
            yield Step("result", str(turn.get("tool_call_id") or ""), text)
