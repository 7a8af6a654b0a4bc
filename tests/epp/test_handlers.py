"""Which profiles choose: prefill and decode, a header's, and several engines behind one port."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.epp.store import Seat
from wayside.vocab.endpoint import Vitals

from . import proto
from .rig import HEAD, Bench, destination

DISAGG = """
plugins:
- type: decode-filter
- type: prefill-filter
- type: prefix-cache-scorer
- type: queue-scorer
- type: disagg-profile-handler
- {type: %s, parameters: {%s}}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: queue-scorer}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer}]}
"""
ALWAYS = DISAGG % ("always-disagg-pd-decider", "")
D, P, P2 = "10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"


def stage(config: str, roles: dict[str, str]) -> Bench:
    bench = Bench(config=HEAD + config)
    seats = [Seat(at, at, {"llm-d.ai/role": role}) for at, role in roles.items()]
    bench.store.seat(seats)
    for i, endpoint in enumerate(bench.store.roster.endpoints):
        endpoint.vitals = Vitals(at=bench.time, waiting=9 - i)
    bench.store.refresh()
    return bench


def headers(replies: list[Any]) -> dict[str, str]:
    return proto.set_headers(replies[0].request_headers.response.headers)


def decisions(bench: Bench) -> dict[str, float]:
    return {labels[1]: count for labels, count in bench.metrics.disagg.values.items()}


def test_a_decode_server_is_told_who_reads_the_prompt() -> None:
    bench = stage(ALWAYS, {D: "decode", P: "prefill", P2: "prefill"})
    talk, replies = bench.ask()
    assert destination(replies) == D
    said = headers(replies)
    assert said["x-prefiller-host-port"] == P2, "the one with the shorter queue"
    assert said["x-prefiller-url"] == f"http://{P2}"
    counts = [e.in_flight for e in bench.store.roster.endpoints]
    assert counts == [1, 0, 1], "both work for it"
    talk.session.close()
    assert not any(e.in_flight for e in bench.store.roster.endpoints)
    assert decisions(bench) == {"prefill-decode": 1}


def test_when_the_prefill_side_is_gone_decode_does_it_all_and_that_is_counted() -> None:
    bench = stage(ALWAYS, {D: "decode"})
    _, replies = bench.ask(x_prefiller_host_port="10.6.6.6:1")
    assert destination(replies) == D and "x-prefiller-host-port" not in headers(replies)
    gone = replies[0].request_headers.response.headers.remove
    assert "x-prefiller-host-port" in gone, "a client cannot name one either"
    assert decisions(bench) == {"prefill-unavailable": 1}


def test_without_a_decode_server_nobody_is_left() -> None:
    _, (reply,) = stage(ALWAYS, {P: "prefill"}).ask()
    assert reply.immediate.status.code == 429
    assert proto.set_headers(reply.immediate.headers) == {
        "x-llm-d-request-dropped-reason": "rejected-saturated"
    }


@pytest.mark.parametrize(
    ("tokens", "prompt", "words", "remote"),
    [(0, 0, 4000, False), (500, 0, 4000, True), (5000, 0, 4000, False), (10, 2000, 4000, False),
     (10, 900, 4000, True)],
)  # fmt: skip
def test_the_prefix_decider_goes_by_what_is_left_to_read(
    tokens: int, prompt: int, words: int, remote: bool
) -> None:
    parameters = f"nonCachedTokens: {tokens}, promptTokens: {prompt}"
    config = DISAGG % ("prefix-based-pd-decider", parameters)
    bench = stage(config, {D: "decode", P: "prefill"})
    body = b'{"model":"m","prompt":"%b"}' % (b"x" * words)
    _, replies = bench.ask(body)
    assert ("x-prefiller-host-port" in headers(replies)) is remote


def test_a_prompt_that_is_cached_is_not_read_elsewhere() -> None:
    config = DISAGG % ("prefix-based-pd-decider", "nonCachedTokens: 500")
    bench = stage(config, {D: "decode", P: "prefill"})
    body = b'{"model":"m","prompt":"%b"}' % (b"x" * 8000)
    _, first = bench.ask(body)
    _, second = bench.ask(body)
    assert "x-prefiller-host-port" in headers(first)
    assert "x-prefiller-host-port" not in headers(second)
    assert decisions(bench) == {"prefill-decode": 1, "decode-only": 1}


BY_HEADER = """
plugins:
- {type: header-profile-handler, parameters: {defaultProfile: quiet}}
- type: queue-scorer
- {name: one, type: by-label, parameters: {label: llm-d.ai/role, validValues: [decode]}}
schedulingProfiles:
- {name: ones, plugins: [{pluginRef: one}]}
- {name: quiet, plugins: [{pluginRef: queue-scorer}]}
"""


def test_a_header_names_the_profile() -> None:
    bench = stage(BY_HEADER, {D: "decode", P: "prefill"})
    assert destination(bench.ask()[1]) == P
    assert destination(bench.ask(epp_profile="ones")[1]) == D
    _, (reply,) = bench.ask(epp_profile="nope")
    assert reply.immediate.status.code == 400 and b"'nope'" in reply.immediate.body


def test_engines_of_one_pod_share_a_port() -> None:
    config = "plugins:\n- {type: data-parallel-profile-handler, parameters: {primaryPort: 8000}}\n"
    bench = stage(config, {"10.0.0.1:8003": "both"})
    _, replies = bench.ask()
    assert destination(replies) == "10.0.0.1:8000"
    assert headers(replies)["x-data-parallel-host-port"] == "10.0.0.1:8003"


def test_prefer_if_available_is_412_where_nothing_is_cached() -> None:
    bench = stage("plugins: [{type: prefix-cache-scorer}]", {D: "both"})
    body = b'{"model":"m","prompt":"%b"}' % (b"x" * 8000)
    _, (reply,) = bench.ask(body, prefer="if-available")
    assert reply.immediate.status.code == 412
    bench.ask(body)
    _, replies = bench.ask(body, prefer="if-available")
    assert destination(replies) == D
