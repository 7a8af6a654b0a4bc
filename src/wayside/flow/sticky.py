"""Conversations keep the model they were given, unless another is worth the change.

A model that goes on where another began reads the whole conversation again, and finds tool calls
it would have made otherwise. So the first request of a conversation chooses, and later ones stay:
within one decision, as long as the model is a candidate of it, keeps its limits and answers.
Nothing here knows where conversations are remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec

from wayside.selection import Candidate, Picked
from wayside.settings import StickySettings
from wayside.vocab.ask import Flow, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.observed import Held, Hold, Observe
from wayside.vocab.prompt import Prompt
from wayside.vocab.sharing import sharers
from wayside.vocab.stores import Get, Put

SPACE = "wayside.conversations"
"""Of a store that several routers share."""
MIN_ANSWERS = 5
"""Recent answers of a model before the share that failed means anything."""
_ROUNDING = 1e-9
_SESSION_HEADERS = ("x-session-id", "x-claude-code-session-id", "x-conversation-id")
_ANSWERS = frozenset({"assistant", "tool", "function"})
_RESULTS = frozenset({"tool", "function"})

Phase = Literal["new", "stay", "tool_loop", "switch", "left"]
"""What became of a conversation: it begins; it stays; it stays since the model waits for a tool's
result; it moves to a better model; it leaves one that is gone, over a limit or failing."""


class Session(NamedTuple):
    """Which conversation a request belongs to, and how that was found.

    ``begins``: the request shows that it is the first, so nothing earlier is meant.
    """

    by: Literal["header", "metadata", "history", "structure"]
    name: str
    begins: bool


def session(prompt: Prompt) -> Session | None:
    """The conversation, as the request tells it: in vSR's order (spec 1.4), a header, the
    metadata's ``user_id`` (Anthropic's clients), the first thing the user said, the shape of the
    request. ``None`` where it has neither words nor shape: such a request is known by its own id
    alone, and no other belongs to it.

    A conversation known by what was said begins with a request that holds no answer yet, however
    often the same words begin one. What the system prompt says is not looked at, since many tell
    the time there.
    """
    for header in _SESSION_HEADERS:
        if name := prompt.headers.get(header):
            return Session("header", f"{header}:{name}", False)
    if name := prompt.metadata.get("user_id"):
        return Session("metadata", name, False)
    begins = not any([m.role in _ANSWERS for m in prompt.messages])
    first = next((m for m in prompt.messages if m.role == "user"), None)
    if first is not None and first.text:
        return Session("history", first.text, begins)
    opening = [m for m in prompt.messages if m.role not in _ANSWERS][:2]
    if not opening and not prompt.tools:
        return None
    shape = [(m.role, len(m.text), m.images, m.audio) for m in opening]
    return Session("structure", repr((shape, prompt.tools)), begins)


class _Given(msgspec.Struct, array_like=True):
    """What is remembered: the candidate, and the turns it has had."""

    candidate: str
    turns: int


_given = msgspec.json.Decoder(_Given)
_encode = msgspec.json.Encoder().encode


class Settled(NamedTuple):
    """A choice that respects the conversation. ``memory`` is to be asked once the request goes."""

    picked: Picked
    phase: Phase
    memory: Hold | Put


@dataclass(frozen=True, slots=True)
class Sticky:
    """How the conversations of one decision stay; ``scope`` names the recipe and the decision."""

    scope: tuple[str, str]
    rule: StickySettings

    def settle(
        self, prompt: Prompt, candidates: tuple[Candidate, ...], picked: Picked
    ) -> Flow[Settled | None]:
        """What to choose after all; ``None`` where the request belongs to no conversation, or
        nobody can say what it had."""
        found = session(prompt)
        if found is None:
            return None
        key = self.key(prompt, found)
        given = None
        if not found.begins:
            try:
                held = yield from ask(self._question(key))
            except AskFailed:
                return None
            given = _read(held)
        if given is None:
            return self._settled(key, picked, "new", 1)
        at = next((i for i, c in enumerate(candidates) if _identity(c) == given.candidate), None)
        if at is None:
            why = "its model is no candidate any more"
            return self._settled(key, _because(picked, why), "left", 1)
        failing = yield from self._failing(candidates[at])
        result = bool(prompt.messages) and prompt.messages[-1].role in _RESULTS
        turns = given.turns + (0 if result else 1)
        if failing:
            other = _without(at, candidates, picked)
            return self._settled(key, _because(other, failing), "left", 1)
        stays = msgspec.structs.replace(picked, candidate=candidates[at])
        if result and self.rule.hold_in_tool_loop:
            why = f"stays on {candidates[at].name}, which called a tool"
            return self._settled(key, _because(stays, why), "tool_loop", turns)
        verdict, why = self._weigh(candidates, at, picked, given.turns)
        if verdict == "stay":
            return self._settled(key, _because(stays, why), "stay", turns)
        return self._settled(key, _because(picked, why), verdict, 1)

    def _weigh(
        self, candidates: tuple[Candidate, ...], at: int, picked: Picked, turns: int
    ) -> tuple[Literal["stay", "switch", "left"], str]:
        """Whether the candidate that was picked is worth leaving the one at ``at``."""
        name = candidates[at].name
        stays = f"stays on {name}"
        if picked.candidate == candidates[at]:
            return "stay", stays
        if not picked.scores:
            return "stay", stays
        own, other = picked.scores[at], picked.scores[candidates.index(picked.candidate)]
        if own is None:
            return "left", f"leaves {name}, which is over a limit"
        if turns < self.rule.min_turns_before_switch:
            return "stay", f"{stays} for {self.rule.min_turns_before_switch} turns at least"
        gain = (other or 0.0) - own
        needed = self.rule.switch_margin
        if gain > _ROUNDING and gain >= needed - _ROUNDING:
            return "switch", f"leaves {name} for {gain:.3g} more"
        return "stay", f"{stays}: {max(gain, 0.0):.3g} more is less than {needed:g}"

    def _failing(self, candidate: Candidate) -> Flow[str]:
        """Why a model is left although nothing else speaks against it; ``""`` if it is not."""
        try:
            (seen,) = yield from ask(Observe((candidate.model,), ()))
        except AskFailed:
            return ""
        if seen.samples < MIN_ANSWERS or seen.error_rate < self.rule.leave_error_rate:
            return ""
        return f"leaves {candidate.name}: {seen.error_rate:.0%} of its latest answers failed"

    def key(self, prompt: Prompt, found: Session) -> str:
        """The conversation's key: nobody's conversations are found with another caller's key or
        user, or without either."""
        parts = (sharers(prompt, "user"), self.scope, found.by, found.name)
        return blake2b(repr(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()

    def _question(self, key: str) -> Held | Get:
        store = self.rule.store
        return Held(key) if store is None else Get(store, SPACE, key)

    def _settled(self, key: str, picked: Picked, phase: Phase, turns: int) -> Settled:
        value = _encode(_Given(_identity(picked.candidate), turns))
        ttl, store = self.rule.idle_timeout_s, self.rule.store
        memory = Hold(key, value, ttl) if store is None else Put(store, SPACE, key, value, ttl)
        return Settled(picked, phase, memory)


def owner(prompt: Prompt) -> str:
    """A digest of whoever asks: a user, or everybody with a key; ``""`` where nobody tells."""
    who = sharers(prompt, "user")
    if who is None:
        return ""
    return blake2b(repr(who).encode("utf-8", "replace"), digest_size=16).hexdigest()


def remember(settled: Settled) -> Flow[None]:
    """Keep what was settled. A store that does not answer costs the conversation its memory, not
    the client its answer."""
    try:
        yield from ask(settled.memory)
    except AskFailed:
        return


def _identity(candidate: Candidate) -> str:
    """What tells a candidate from the others of its decision: not its weight."""
    c = candidate
    return f"{c.model}|{c.lora or ''}|{c.reasoning}|{c.effort or ''}"


def _read(held: bytes | None) -> _Given | None:
    if held is None:
        return None
    try:
        return _given.decode(held)
    except msgspec.DecodeError:  # kept by another version
        return None


def _because(picked: Picked, why: str) -> Picked:
    both = "; ".join([part for part in (why, picked.why) if part])
    return msgspec.structs.replace(picked, why=both)


def _without(at: int, candidates: tuple[Candidate, ...], picked: Picked) -> Picked:
    """The choice, when the candidate at ``at`` must not be it: the best of the others."""
    if picked.candidate != candidates[at]:
        return picked

    def worth() -> Iterator[tuple[float, float, int]]:
        for i, candidate in enumerate(candidates):
            score = picked.scores[i] if picked.scores else 0.0
            if i != at and score is not None:
                yield score, candidate.weight, -i

    best = max(worth(), default=None)
    if best is None:
        return picked
    return msgspec.structs.replace(picked, candidate=candidates[-best[2]])
