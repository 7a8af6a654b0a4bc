"""The benchmark of replica picking: its load, its fleet, its verdicts. Not the figures."""

from __future__ import annotations

import asyncio
import itertools
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from picking import stack, virtual  # noqa: E402
from picking.load import REPLICAS, SCENARIOS, Crowd, Fleet, Scenario, Users  # noqa: E402
from picking.measure import Figures, Length, measure  # noqa: E402
from picking.picture import picture  # noqa: E402
from picking.report import BY_NAME, Table, markdown  # noqa: E402
from picking.routers import ours  # noqa: E402

from wayside.sim import count_tokens  # noqa: E402
from wayside.sim.ask import read_body, read_chat  # noqa: E402

SMALL = Scenario(
    "small", "few users", Users(count=16, groups=2, system=64, document=128, pause_s=0.7)
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_a_load_is_the_same_each_time_and_counts_tokens_as_the_simulator(
    scenario: Scenario,
) -> None:
    talks = scenario.load(1, 1.0, 3.0)
    assert talks == scenario.load(1, 1.0, 3.0)
    assert talks != scenario.load(2, 1.0, 3.0)
    turns = [turn for talk in talks for turn in talk.turns]
    assert turns
    for turn in turns[:20]:
        ask = read_chat(read_body(turn.body))
        assert turn.prompt == sum(count_tokens(prompt.text) for prompt in ask.prompts)
        assert ask.limit == turn.answer and ask.stream and ask.ignore_eos


def test_turns_of_a_conversation_go_on_from_those_before() -> None:
    for talk in SMALL.load(1, 1.0, 8.0):
        bodies = [read_body(turn.body)["messages"] for turn in talk.turns]
        assert len(bodies) > 1
        for before, after in itertools.pairwise(bodies):
            assert after[: len(before)] == before and len(after) == len(before) + 2


def test_multi_turn_needs_most_of_the_fleets_cache_but_not_all() -> None:
    scenario = SCENARIOS[0]
    lasts = [talk.turns[-1] for talk in scenario.load(1, 5.0, 12.0)]
    users = scenario.make
    assert isinstance(users, Users)
    own = sum(turn.prompt - users.system for turn in lasts)
    tokens = own + users.groups * users.system
    assert 0.65 < tokens / (scenario.fleet.kv_blocks * 16 * REPLICAS) < 0.85


def test_a_real_run_measures_what_the_simulators_counted() -> None:
    """The gateway, the fleet and the client as processes; one replica dies and comes back."""
    scenario = replace(SMALL, fleet=Fleet(ttft_s=0.01, itl_s=0.001, dies=(0.2, 0.5)))
    figures = asyncio.run(measure(ours("default", None), scenario, 1, Length(1.0, 3.0, 3.0)))
    assert figures.requests > 30
    assert figures.completed > 10
    assert 0.05 < figures.hit < 1
    assert 0.005 < figures.p50 <= figures.p90 <= figures.p99 < 5
    assert 1 <= figures.imbalance <= REPLICAS


def test_virtual_time_gives_the_same_figures_each_time_and_prefers_the_idle() -> None:
    crowded = Scenario("crowd", "a queue at each replica", Crowd(rate=60))
    first = virtual.play(crowded, "max_score", range(1, 2), warm=2, seconds=4)
    assert first == virtual.play(crowded, "max_score", range(1, 2), warm=2, seconds=4)
    queue = virtual.play(crowded, "queue", range(1, 2), warm=2, seconds=4)
    assert queue["imbalance"] < first["imbalance"]


def figures(router: str, seed: int, p90: float, **more: Any) -> Figures:
    values: dict[str, Any] = {
        "scenario": "hot",
        "router": router,
        "seed": seed,
        "requests": 100,
        "errors": 0,
        "why": {},
        "hit": 0.5,
        "p50": p90 / 2,
        "p90": p90,
        "p99": p90 * 2,
        "completed": 10.0,
        "tokens": 100.0,
        "imbalance": 1.1,
        "late": 0.0,
        "busy": 0.1,
    }
    return Figures(**values | more)


def test_a_verdict_goes_by_medians_and_calls_overlapping_spreads_noise() -> None:
    peers = [figures("peer", 1, 0.10), figures("peer", 2, 0.12), figures("peer", 3, 0.14)]
    p90 = BY_NAME["p90, ms"]

    def said(*mine: float) -> str:
        own = [figures("wayside-x", seed, value) for seed, value in enumerate(mine, 1)]
        verdict = Table([*peers, *own]).verdict("hot", "wayside-x", p90)
        return verdict.word if verdict else "alone"

    assert said(0.10, 0.11, 0.13) == "first"
    assert said(0.13, 0.15, 0.16) == "within noise"
    assert said(0.15, 0.16, 0.17) == "behind"
    assert said(0.105) == "within noise", "a difference of 5 %, over the one load both were given"
    assert said(0.15) == "behind"
    alone = Table([figures("peer", 1, 0.1), figures("wayside-x", 2, 0.1)])
    assert alone.verdict("hot", "wayside-x", p90) is None


def test_the_report_and_the_picture_name_every_router() -> None:
    table = Table([figures("peer<1>", 1, 0.2), figures("wayside-x", 1, 0.1, errors=2)])
    text = markdown(table, judged="wayside-x")
    assert text.index("**wayside-x**") < text.index("peer<1>")
    assert "first: 100 to 200 (peer<1>)" in text
    root = ElementTree.fromstring(picture(table, judged="wayside-x"))
    words = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert {"peer<1>", "wayside-x"} <= set(words)
    assert any("2 errors" in word for word in words)


def test_production_stacks_rules() -> None:
    urls = ["http://b", "http://a", "http://c"]

    def request(**headers: str) -> Any:
        return type("Request", (), {"headers": headers})()

    turns = stack.RoundRobin()
    assert [turns(request(), {}, urls) for _ in range(4)] == [
        "http://a",
        "http://b",
        "http://c",
        "http://a",
    ]
    rates = stack.Rates()
    session = stack.Session(rates)
    named = {session(request(**{"x-session-id": "s"}), {}, urls) for _ in range(5)}
    assert len(named) == 1
    rates.add("http://b")
    assert session(request(), {}, urls) == "http://a"  # it never had a request
    prefix = stack.PrefixAware()
    body = {"messages": [{"role": "user", "content": "x" * 300}]}
    longer = {"messages": [{"role": "user", "content": "x" * 300 + "y" * 200}]}
    chosen = prefix(request(), body, urls)
    assert {prefix(request(), longer, urls) for _ in range(8)} == {chosen}
    others = [url for url in urls if url != chosen]
    assert prefix(request(), longer, others) in others
