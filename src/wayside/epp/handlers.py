"""Which profiles choose for a request, and what becomes of their choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from wayside.endpoints import HIT, Profile
from wayside.epp.headers import DATA_PARALLEL, PREFILLER, PREFILLER_URL, PROFILE
from wayside.epp.refusals import FILTERED_OUT, Refusal
from wayside.epp.requests import Part
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.outcome import HeaderPairs

DECODE_ONLY: Final = "decode-only"
PREFILL_DECODE: Final = "prefill-decode"
PREFILL_GONE: Final = "prefill-unavailable"
"""What was decided of a request's prompt: that its decode server reads it, that another one does,
or that another one should have and there was none."""


class Choice:
    """Who takes part; ``parts`` has who answers first. ``destination`` is what Envoy is told."""

    __slots__ = ("destination", "headers", "parts", "scores")

    def __init__(
        self,
        destination: str,
        parts: list[Part],
        headers: HeaderPairs = (),
        scores: Mapping[str, float] | None = None,
    ) -> None:
        self.destination, self.parts = destination, parts
        self.headers, self.scores = headers, scores


class Handler(Protocol):
    """Chooses with its profiles."""

    def choose(self, need: Need, roster: Roster) -> Choice | Refusal: ...


class Single:
    """One profile says it all. ``scores``: tell those of every candidate."""

    def __init__(self, profile: Profile, *, scores: bool = False) -> None:
        self._profile, self._scores = profile, scores

    def choose(self, need: Need, roster: Roster) -> Choice | Refusal:
        profile = self._profile
        picked = profile.pick(need, roster)
        if not picked:
            return FILTERED_OUT
        first = picked[0]
        where = first.host_port if len(picked) == 1 else ",".join([e.host_port for e in picked])
        scores = _scored(profile, need, roster) if self._scores else None
        return Choice(where, [Part(profile, need, first)], (), scores)


class ByHeader:
    """A header names the profile; without one it is ``usual``."""

    def __init__(
        self, handlers: Mapping[str, Handler], usual: str, *, header: str = PROFILE
    ) -> None:
        self._handlers, self._usual, self._header = handlers, usual, header

    def choose(self, need: Need, roster: Roster) -> Choice | Refusal:
        name = need.headers.get(self._header, "") or self._usual
        handler = self._handlers.get(name)
        if handler is None:
            return Refusal("BadRequest", f"header {self._header} names no profile: {name[:64]!r}")
        return handler.choose(need, roster)


Decider = Callable[[Need], bool]
"""Whether another server should read the prompt, asked when the decode server is chosen."""


def always(need: Need) -> bool:
    """The ``always-disagg-pd-decider``."""
    return True


def never(need: Need) -> bool:
    """What a handler without a decider does."""
    return False


class Uncached:
    """The ``prefix-based-pd-decider``: worth it from ``tokens`` on that the chosen decode server
    would have to read, and for prompts of at least ``prompt_tokens``. With ``tokens`` 0 it is
    switched off (spec 4.3)."""

    def __init__(self, tokens: int, prompt_tokens: int = 0) -> None:
        self._tokens, self._prompt = tokens, prompt_tokens

    def __call__(self, need: Need) -> bool:
        if not self._tokens:
            return False
        prompt = need.tokens
        if prompt < self._prompt:
            return False
        cached: float = need.memo.get(HIT, 0.0)
        return prompt * (1.0 - cached) >= self._tokens


class Disaggregated:
    """The decode server first; if ``decide`` says so, another one to read the prompt.

    Where nobody is left to read it, the decode server does it all: ``told`` hears what was
    decided, with the model.
    """

    def __init__(
        self,
        decode: Profile,
        prefill: Profile,
        decide: Decider,
        told: Callable[[str, str], None],
        *,
        scores: bool = False,
    ) -> None:
        self._first = Single(decode, scores=scores)
        self._prefill, self._decide, self._told = prefill, decide, told

    def choose(self, need: Need, roster: Roster) -> Choice | Refusal:
        choice = self._first.choose(need, roster)
        if isinstance(choice, Refusal):
            return choice
        if not self._decide(need):
            self._told(need.model, DECODE_ONLY)
            return choice
        # What servers have cached is noted in a need's memo: each step has its own.
        reading = Need(
            need.usual, body=need.body, headers=need.headers, now=need.now, dice=need.dice,
            priority=need.priority,
        )  # fmt: skip
        reading.memo["text"] = need.text
        picked = self._prefill.pick(reading, roster)
        decoder = choice.parts[0].endpoint
        reader = next((e for e in picked if e is not decoder), None)
        if reader is None:
            self._told(need.model, DECODE_ONLY if picked else PREFILL_GONE)
            return choice
        self._told(need.model, PREFILL_DECODE)
        choice.parts.append(Part(self._prefill, reading, reader))
        choice.headers = (
            (PREFILLER, reader.host_port),
            (PREFILLER_URL, f"http://{reader.host_port}"),
        )
        return choice


class DataParallel:
    """Several engines of one pod behind one port: Envoy is sent to ``port``, and a header says
    which engine was meant."""

    def __init__(self, profile: Profile, port: int, *, scores: bool = False) -> None:
        self._inner, self._port = Single(profile, scores=scores), port

    def choose(self, need: Need, roster: Roster) -> Choice | Refusal:
        choice = self._inner.choose(need, roster)
        if isinstance(choice, Choice):
            meant = choice.parts[0].endpoint.host_port
            choice.headers = ((DATA_PARALLEL, meant),)
            wheres = dict.fromkeys(self._moved(e) for e in choice.destination.split(","))
            choice.destination = ",".join(wheres)
        return choice

    def _moved(self, host_port: str) -> str:
        return f"{host_port.rpartition(':')[0]}:{self._port}"


def _scored(profile: Profile, need: Need, roster: Roster) -> dict[str, float]:
    """Every candidate's score by its address, as it was when the request was placed."""
    among = profile.among(need, roster)
    totals = profile.scores(need, among)
    endpoints: tuple[Endpoint, ...] = among.endpoints
    if not totals:
        return {e.host_port: 0.0 for e in endpoints}
    return {e.host_port: total for e, total in zip(endpoints, totals, strict=True)}
