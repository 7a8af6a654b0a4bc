"""From a request to where it goes: its model's name, its urgency, admission, and the choice."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol

import msgspec

from wayside.endpoints import HIT, HITS
from wayside.epp.go_json import complaint
from wayside.epp.handlers import Choice, Handler
from wayside.epp.headers import FAIRNESS, OBJECTIVE, PREFER, REWRITE, SLO_TTFT, said
from wayside.epp.refusals import NO_MODEL, NOT_CACHED, NOT_TEXT, UNREAD, Refusal
from wayside.epp.requests import Asked, Errand, Sent
from wayside.epp.store import Store
from wayside.epp.timing import EVERY
from wayside.vocab.endpoint import UNREADABLE, Need, Roster
from wayside.vocab.halves import mended

DEFAULT_FLOW: Final = "default-flow"
_STREAM: Final = re.compile(rb'"stream"\s*:\s*true\b')
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

Reads = Literal["json", "nothing"]
"""Whether bodies are read: ``nothing`` passes them as they are (``passthrough-parser``)."""


class Admission(Protocol):
    """Says whether, and when, a request may go on."""

    patience_s: float
    """How long one waits where there is no endpoint, 0 for not at all."""

    def admit(
        self,
        *,
        priority: int,
        fairness: str,
        size: int,
        candidates: Roster,
        due_s: float | None = None,
    ) -> Refusal | Awaitable[Refusal | None] | None:
        """``None`` for at once; an awaitable where it has to wait its turn."""
        ...

    def left(self) -> None:
        """A request is over, so that there may be room."""
        ...


class Director:
    """Puts the steps together. ``rewritten`` hears of each rule of an InferenceModelRewrite that
    was applied: its name, the model asked for and the one put in its place; ``prefix`` of the
    share of each prompt that the chosen endpoint has, and of its bytes. ``timed`` makes one choice
    in :data:`~wayside.epp.timing.EVERY` in the handler's place. ``follows``: choices
    or admission go by how many requests are under way, so the end of each has to be known."""

    def __init__(
        self,
        store: Store,
        handler: Handler,
        admission: Admission,
        *,
        clock: Callable[[], float],
        dice: Callable[[], float],
        reads: Reads = "json",
        subsets: bool = True,
        follows: bool = True,
        rewritten: Callable[[str, str, str], None] = lambda name, model, target: None,
        scheduled: Callable[[float, bool], None] = lambda seconds, found: None,
        prefix: Callable[[float, int], None] | None = None,
        timed: Handler | None = None,
    ) -> None:
        self._store, self._handler, self._admission = store, handler, admission
        self._clock, self._dice = clock, dice
        self._reads, self._subsets = reads, subsets
        self._on_end = admission.left if follows else None
        self._rewritten, self._scheduled, self._prefix = rewritten, scheduled, prefix
        self._timed, self._turn = timed or handler, 1

    def choose(self, asked: Asked) -> Sent | Refusal | Awaitable[Sent | Refusal]:
        """Where it goes, or why nowhere; an awaitable where it has to wait its turn."""
        if not self._subsets:
            asked.subset = None
        if asked.bodiless:
            return self._anywhere(asked)
        request = self._read(asked)
        if isinstance(request, Refusal):
            return request
        roster = self._store.candidates(asked.subset)
        if isinstance(roster, Refusal):
            if not self._admission.patience_s:
                return roster
            roster = Roster(())
        slo = said(asked.headers, SLO_TTFT)
        verdict = self._admission.admit(
            priority=request.need.priority,
            fairness=request.fairness,
            size=len(asked.body),
            candidates=roster,
            due_s=_seconds(slo) if slo else None,
        )
        if verdict is None:
            return self._place(request, roster)
        if isinstance(verdict, Refusal):
            return verdict
        return self._later(verdict, request, asked.subset)

    async def _later(
        self,
        verdict: Awaitable[Refusal | None],
        request: _Read,
        subset: tuple[str, ...] | None,
    ) -> Sent | Refusal:
        refusal = await verdict
        if refusal is not None:
            return refusal
        roster = self._store.candidates(subset)  # it may be another one by then
        if isinstance(roster, Refusal):
            self._admission.left()
            return roster
        return self._place(request, roster)

    def _anywhere(self, asked: Asked) -> Sent | Refusal:
        found = self._store.anyone(asked.subset, self._dice())
        if isinstance(found, Refusal):
            return found
        return Sent(found.host_port, b"", Errand([], self._clock()))

    def _read(self, asked: Asked) -> _Read | Refusal:
        headers, body = asked.headers, asked.body
        priority = self._store.priority(said(headers, OBJECTIVE))
        fairness = said(headers, FAIRNESS) or DEFAULT_FLOW
        need = Need(
            "", body=body, headers=headers, now=self._clock(), dice=self._dice, priority=priority
        )
        if self._reads == "nothing":
            return _Read(need, "", "", fairness, stream=False)
        model = need.shape.model
        if not isinstance(model, str) or not model:
            return _no_model(body)
        target = self._target(asked, model)
        if target != model:
            fields = _read_fields(body)
            fields["model"] = msgspec.Raw(_encode(target))
            now = need.now
            need = Need(
                target, body=_encode(fields), headers=headers, now=now, dice=self._dice,
                priority=priority,
            )  # fmt: skip
        stream = b'"stream"' in body and _STREAM.search(body) is not None
        return _Read(need, model, target, fairness, stream=stream)

    def _target(self, asked: Asked, model: str) -> str:
        """What servers call the model: the pool's rewrites go before the client's header."""
        found = self._store.rewrites().find(model)
        if found is not None:
            rule, name = found
            target = rule.target(self._dice())
            self._rewritten(name, model, target)
            return target
        return said(asked.headers, REWRITE) or model

    def _place(self, request: _Read, roster: Roster) -> Sent | Refusal:
        need = request.need
        need.now = began = self._clock()
        handler = self._handler if self._turn % EVERY else self._timed
        self._turn += 1
        choice = handler.choose(need, roster)
        self._scheduled(self._clock() - began, isinstance(choice, Choice))
        if isinstance(choice, Refusal):
            self._admission.left()
            return choice
        if "if-available" in need.headers.get(PREFER, "") and not need.memo.get(HIT):
            self._admission.left()
            return NOT_CACHED
        if self._prefix is not None and HITS in need.memo:
            self._prefix(need.memo.get(HIT, 0.0), len(need.text))
        path = need.headers.get(":path", "")
        return Sent(
            choice.destination,
            need.body,
            Errand(choice.parts, began, self._on_end),
            model=request.model,
            target=request.target,
            priority=need.priority,
            fairness=request.fairness,
            stream=request.stream,
            headers=choice.headers,
            scores=choice.scores,
            skips=path.partition("?")[0].endswith("/count_tokens"),
        )


def _read_fields(body: bytes) -> dict[str, msgspec.Raw]:
    """Raises one of :data:`UNREADABLE`."""
    try:
        return _fields(body)
    except msgspec.DecodeError:
        return _fields(mended(body))


def _no_model(body: bytes) -> Refusal:
    """What is wrong with a body that no model could be read of."""
    try:
        fields = _read_fields(body)
    except UNREADABLE:
        what = complaint(body) or "invalid JSON"
        return Refusal("BadRequest", f"error unmarshaling request bodyMap: {what}")
    model = fields.get("model", msgspec.Raw())
    if not bytes(model).startswith(b'"'):
        return NO_MODEL
    try:
        return UNREAD if msgspec.json.decode(model, type=str) else NO_MODEL
    except UNREADABLE:
        return NOT_TEXT


class _Read:
    """A request whose body was read."""

    __slots__ = ("fairness", "model", "need", "stream", "target")

    def __init__(
        self, need: Need, model: str, target: str, fairness: str, *, stream: bool
    ) -> None:
        self.need, self.model, self.target = need, model, target
        self.fairness, self.stream = fairness, stream


def _seconds(text: str) -> float | None:
    """Milliseconds as a client writes them; ``None`` for what is no such number."""
    try:
        found = float(text) / 1e3
    except ValueError:
        return None
    return found if 0 <= found < 1e9 else None
