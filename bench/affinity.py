"""What strategies of affinity and caches cost: microseconds per choice, minimum of several rounds.

    .venv/bin/python bench/affinity.py

Half of the servers know the prompt's beginning. Figures of the pages in docs/reference/endpoints
are from here; on a busy machine compare lines of one run, not of two.
"""

from __future__ import annotations

import json
import random
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from wayside.endpoints.cache_aware import CacheAwarePicker, CacheAwareRule
from wayside.endpoints.consistent_hash import ConsistentHashPicker, ConsistentHashRule
from wayside.endpoints.precise_prefix_cache import (
    PrecisePrefixCacheRule,
    PrecisePrefixCacheScorer,
)
from wayside.endpoints.prefix_cache import PrefixCacheRule, PrefixCacheScorer
from wayside.endpoints.prefix_hash import PrefixHashPicker, PrefixHashRule
from wayside.endpoints.session_affinity import SessionAffinityRule, SessionAffinityScorer
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.prefix import Chains

ROUNDS, AT_ONCE = 9, 20
SIZES = {"1 KB": 1024, "16 KB": 16 << 10, "256 KB": 256 << 10}
COUNTS = (8, 64, 512)
dice = random.Random(1)


def body(size: int) -> bytes:
    words = " ".join(str(dice.randrange(10**6)) for _ in range(size // 7))
    said = {"model": "m", "messages": [{"role": "user", "content": words}]}
    return json.dumps(said).encode()


def need(data: bytes) -> Need:
    made = Need("m", body=data, headers={"x-session-id": "s1"}, now=1e6, dice=dice.random)
    made.shape  # noqa: B018 - whoever asks first pays for parsing; it is measured apart
    return made


def micro(work: Callable[[Need], Any], data: bytes) -> float:
    def once() -> float:
        needs = [need(data) for _ in range(AT_ONCE)]
        return timeit.timeit(lambda: [work(n) for n in needs], number=1) / AT_ONCE

    return min(once() for _ in range(ROUNDS)) * 1e6


def choices(roster: Roster, data: bytes) -> dict[str, Callable[[Need], Any]]:
    knows = roster.endpoints[: len(roster) // 2]
    ring = ConsistentHashPicker(ConsistentHashRule())
    prefix = PrefixHashPicker(PrefixHashRule())
    session = SessionAffinityScorer(SessionAffinityRule())
    guess = PrefixCacheScorer(PrefixCacheRule())
    tree = CacheAwarePicker(CacheAwareRule())
    precise = PrecisePrefixCacheScorer(PrecisePrefixCacheRule())
    tokens = [dice.randrange(50_000) for _ in range(len(data) // 4)]
    names = [dice.getrandbits(64) for _ in range(len(tokens) // 16)]
    told = msgspec.msgpack.encode([0.0, [["BlockStored", names, None, tokens, 16]]])
    precise.tokenizer = lambda endpoint, body, learn: learn(tokens)
    precise.chosen(need(data), knows[0])
    for e in knows:
        session.chosen(need(data), e)
        guess.chosen(need(data), e)
        tree.chosen(need(data), e)
        precise.hear(e, b"0", 0, told)

    def sent(part: Any) -> Callable[[Need], Any]:
        def work(n: Need) -> None:
            part.score(n, roster)
            part.chosen(n, knows[0])

        return work

    def grown(n: Need) -> None:
        tree.pick(n, roster, ())
        tree.chosen(n, knows[0])

    return {
        "consistent_hash": lambda n: ring.pick(n, roster, ()),
        "prefix_hash": lambda n: prefix.pick(n, roster, ()),
        "session_affinity": sent(session),
        "prefix_cache": sent(guess),
        "cache_aware": grown,
        "precise_prefix_cache": sent(precise),
    }


def hashed(chains: Chains, n: Need) -> list[int]:
    return chains.chain("m", b"", n.text)


def main() -> None:
    print(f"{'µs per choice, insertion included':40}" + "".join(f"{n:>8}" for n in COUNTS))
    for label, size in SIZES.items():
        data = body(size)
        rows: dict[str, list[float]] = {}
        for count in COUNTS:
            servers = [Endpoint(f"p{i}", f"10.0.{i // 250}.{i % 250}:8000") for i in range(count)]
            for e in servers:
                e.in_flight = dice.randrange(8, 12)
            for name, work in choices(Roster(tuple(servers)), data).items():
                rows.setdefault(name, []).append(micro(work, data))
        for name, found in rows.items():
            print(f"{label + '  ' + name:40}" + "".join(f"{us:8.1f}" for us in found))
        cold = micro(lambda n: hashed(Chains(64, 2048), n), data)
        warm = micro(partial(hashed, Chains(64, 2048)), data)
        print(f"{label + '  hashing, anew and again':40}{cold:8.1f}{warm:8.1f}")


if __name__ == "__main__":
    main()
