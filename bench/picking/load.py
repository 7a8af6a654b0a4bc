"""The load: seeded conversations, the same for every target, and the fleets they are sent to.

A conversation is a list of turns; a turn is sent when it is due and the one before it has ended.
Bodies are written down in advance (the assistant's part of the history too), so that what a
router answers, or how fast, changes nothing of what it is asked later. One token is four
characters, which is how the simulator counts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MODEL = "bench-model"
REPLICAS = 8
BLOCK = 16
"""Tokens in a block of the simulated KV cache."""
_VOCABULARY = (
    "ash bay cliff dale elm fern gate hill isle jade knot lake moss nook oak path quay reed sand "
    "tide vale wood yew arch barn cove dune edge ford glen"
)
_WORDS = _VOCABULARY.split()


@dataclass(frozen=True, slots=True)
class Turn:
    """One request. ``at`` is seconds after the start, ``answer`` the tokens it asks for."""

    at: float
    body: bytes
    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, and the headers that each of them carries."""

    turns: tuple[Turn, ...]
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """Eight simulated replicas of one model (see ``wayside sim``): an 8B model, small slots.

    ``kv_blocks`` bounds each replica's prefix cache; ``slow`` makes one replica that many times
    slower; ``dies`` kills one at that share of the measured time and starts it again, with an
    empty cache, at the second share.
    """

    kv_blocks: int = 1900
    max_running: int = 8
    ttft_s: float = 0.03
    prefill_s_per_token: float = 0.00025
    itl_s: float = 0.03
    slowdown_at_full: float = 1.5
    slow: float = 1.0
    dies: tuple[float, float] | None = None

    def server(self, number: int, port: int, events: str | None = None) -> dict[str, Any]:
        """The settings of one replica; the last one is the slow one, or the one that dies.
        ``events``: where to send KV cache events."""
        factor = self.slow if number == REPLICAS - 1 else 1.0
        model = {
            "name": MODEL,
            "ttft_s": self.ttft_s * factor,
            "prefill_s_per_token": self.prefill_s_per_token * factor,
            "itl_s": self.itl_s * factor,
            "slowdown_at_full": self.slowdown_at_full,
            "max_running": self.max_running,
            "kv_blocks": self.kv_blocks,
            "block_size": BLOCK,
        }
        server = {"models": [model], "replica": number, "port": port, "keep": 0}
        if events is not None:
            server["kv_events"] = {"endpoint": events, "bind": False}
        return server


@dataclass(frozen=True, slots=True)
class Scenario:
    """One sort of load on one sort of fleet. ``make`` gets dice and the seconds of it all."""

    name: str
    what: str
    make: Callable[[random.Random, float, float], list[Conversation]]
    fleet: Fleet = field(default_factory=Fleet)

    def load(self, seed: int, warm_s: float, seconds: float) -> list[Conversation]:
        """The same seed gives the same load, whatever ran before."""
        return self.make(random.Random(f"{self.name}/{seed}"), warm_s, seconds)


def text(dice: random.Random, tokens: int) -> str:
    """About nothing, exactly ``tokens`` long, and unlike any other text."""
    words = dice.choices(_WORDS, k=tokens * 4 // 4 + 1)
    return f"{dice.getrandbits(40):010x} {' '.join(words)}"[: tokens * 4].ljust(tokens * 4, ".")


def _turn(at: float, messages: list[dict[str, str]], answer: int) -> Turn:
    body = {
        "model": MODEL,
        "stream": True,
        "max_tokens": answer,
        "ignore_eos": True,
        "messages": messages,
    }
    # What the simulator reads is the texts with a newline between them.
    characters = sum(len(m["content"]) for m in messages) + len(messages) - 1
    return Turn(at, json.dumps(body, separators=(",", ":")).encode(), -(-characters // 4), answer)


@dataclass(frozen=True, slots=True)
class Users:
    """People who each hold one long conversation: a system prompt shared by a group, a document
    of their own, then a question every ``pause_s`` or so (gamma, shape 4) until the end."""

    count: int = 96
    groups: int = 8
    system: int = 800
    document: int = 1100
    question: int = 60
    answer: int = 16
    pause_s: float = 2.1
    zipf: float = 0.0
    """How unlike they are: user k asks in proportion to 1/(k+1)^zipf."""
    named: bool = False
    """Whether their requests carry ``x-session-id``."""

    def __call__(self, dice: random.Random, warm_s: float, seconds: float) -> list[Conversation]:
        systems = [text(dice, self.system) for _ in range(self.groups)]
        shares = [1 / (k + 1) ** self.zipf for k in range(self.count)]
        mean = sum(shares) / self.count
        talks = []
        for number, share in enumerate(shares):
            pause = self.pause_s * mean / share
            at = dice.uniform(0, warm_s * 0.8)
            messages = [
                {"role": "system", "content": systems[number % self.groups]},
                {"role": "user", "content": text(dice, self.document)},
            ]
            turns = []
            while at < warm_s + seconds:
                turns.append(_turn(at, messages, self.answer))
                messages = [
                    *messages,
                    {"role": "assistant", "content": text(dice, self.answer)},
                    {"role": "user", "content": text(dice, self.question)},
                ]
                at += dice.gammavariate(4, pause / 4)
            headers = (("x-session-id", f"session-{number:04d}"),) if self.named else ()
            talks.append(Conversation(tuple(turns), headers))
        return talks


@dataclass(frozen=True, slots=True)
class Strangers:
    """Single requests at random moments, ``rate`` a second, each with its own prompt: lengths
    lognormal, that is most of them short and a few very long."""

    rate: float = 54.0
    prompt: tuple[float, float, int] = (300, 1.1, 6000)
    """Median, sigma and the most, in tokens."""
    answer: tuple[float, float, int] = (12, 0.8, 100)

    def __call__(self, dice: random.Random, warm_s: float, seconds: float) -> list[Conversation]:
        talks, at = [], dice.expovariate(self.rate)
        while at < warm_s + seconds:
            prompt, answer = _lognormal(dice, *self.prompt), _lognormal(dice, *self.answer)
            message = {"role": "user", "content": text(dice, prompt)}
            talks.append(Conversation((_turn(at, [message], answer),)))
            at += dice.expovariate(self.rate)
        return talks


@dataclass(frozen=True, slots=True)
class Crowd:
    """Single requests of which ``share`` begin with one and the same long prompt, the others
    with one of ``others`` prompts; each ends in a question of its own."""

    rate: float = 52.0
    share: float = 0.6
    others: int = 48
    prefix: int = 1600
    question: int = 60
    answer: int = 16

    def __call__(self, dice: random.Random, warm_s: float, seconds: float) -> list[Conversation]:
        popular = text(dice, self.prefix)
        rest = [text(dice, self.prefix) for _ in range(self.others)]
        talks, at = [], dice.expovariate(self.rate)
        while at < warm_s + seconds:
            prefix = popular if dice.random() < self.share else dice.choice(rest)
            messages = [
                {"role": "system", "content": prefix},
                {"role": "user", "content": text(dice, self.question)},
            ]
            talks.append(Conversation((_turn(at, messages, self.answer),)))
            at += dice.expovariate(self.rate)
        return talks


def _lognormal(dice: random.Random, median: float, sigma: float, most: int) -> int:
    return max(4, min(most, round(median * dice.lognormvariate(0, sigma))))


SCENARIOS = (
    Scenario(
        "multi-turn",
        "96 users in 8 groups with a shared prompt; all their tokens are 73 % of the fleet's "
        "KV cache",
        Users(),
    ),
    Scenario(
        "mixed", "prompts and answers of very different lengths, nothing shared", Strangers()
    ),
    Scenario(
        "slow",
        "multi-turn with fewer users, one replica four times slower",
        Users(count=80),
        Fleet(slow=4.0),
    ),
    Scenario(
        "dying",
        "multi-turn with fewer users, one replica killed and back later, its cache lost",
        Users(count=80),
        Fleet(dies=(0.3, 0.65)),
    ),
    Scenario(
        "hot",
        "six requests in ten begin with the same 1,600 tokens, the others with one of 48",
        Crowd(),
        Fleet(),
    ),
    Scenario(
        "sessions",
        "users who name their session in a header, some much busier than others",
        Users(groups=1, system=40, document=1700, zipf=0.6, named=True),
    ),
)
