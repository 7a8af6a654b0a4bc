"""Which server Envoy is told to use, and what is made of where it went."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wayside.extproc import wire
from wayside.extproc.replicas import Chosen, NoServer, Replicas
from wayside.fleet import Fleet
from wayside.settings import RouterSettings
from wayside.vocab.outcome import Forward, Record, Target

FORWARD = Forward(
    target=Target(name="m", upstream_name="m"),
    path="/v1/chat/completions",
    body=b'{"messages":[]}',
    changed=False,
    set_headers=(),
    record=Record(model="m"),
)


def fleet_of(*urls: str, **model: Any) -> Fleet:
    document = {"models": {"m": {"endpoints": list(urls), "picking": "max_score", **model}}}
    return Fleet(RouterSettings.model_validate(document).models)


def choose(fleet: Fleet) -> Chosen | None:
    return Replicas(lambda: fleet, lambda: 1.0, lambda: 0.0).choose(FORWARD, {})


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://10.0.0.1:8000", "10.0.0.1:8000"),
        ("http://[2001:DB8:0:0::1]:8000", "[2001:db8::1]:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_a_server_is_named_as_envoy_writes_addresses(url: str, hosts: str) -> None:
    found = choose(fleet_of(url))
    assert found is not None and found.hosts == hosts


def test_a_name_is_all_the_addresses_it_has() -> None:
    fleet = fleet_of("http://vllm:8000")
    assert choose(fleet) is None  # Envoy chooses, until they are known
    fleet.resolver._known["vllm", 8000] = (0.0, ["10.0.0.1", "fd00:0::2"])
    found = choose(fleet)
    assert found is not None and found.hosts == "10.0.0.1:8000,[fd00::2]:8000"


def test_envoy_does_not_choose_where_filters_must_be_kept() -> None:
    strict = {"filters": [{"label": {"label": "eu", "values": ["1"]}}], "when_none": "refuse"}
    with pytest.raises(NoServer):
        choose(fleet_of("http://10.0.0.1:8000", "http://10.0.0.2:8000", picking=strict))
    with pytest.raises(NoServer):  # Envoy would take any while this name is not known
        choose(fleet_of("http://vllm:8000", picking={"when_none": "refuse"}))


def test_an_answer_from_elsewhere_counts_there() -> None:
    fleet = fleet_of("http://10.0.0.1:8000", "http://10.0.0.2:8000")
    pool = fleet.pools["m"]
    chosen = choose(fleet)
    assert chosen is not None
    named = next(r for r in pool.replicas if r.host_port == chosen.hosts)
    other = next(r for r in pool.replicas if r is not named)
    chosen.answered(2.0, 200, other.host_port)
    assert (named.in_flight, other.in_flight, pool.in_flight) == (0, 1, 1)
    assert named.failures == 1 and not other.failures
    chosen.ended(3.0)
    chosen.ended(3.0)
    assert (named.in_flight, other.in_flight, pool.in_flight) == (0, 0, 0)
    assert named.troubled


def test_an_answer_from_nobody_we_know_counts_where_it_was_sent() -> None:
    fleet = fleet_of("http://10.0.0.1:8000")
    (named,) = fleet.pools["m"].replicas
    chosen = choose(fleet)
    assert chosen is not None
    chosen.answered(2.0, 200, "10.9.9.9:1")
    chosen.ended(3.0)
    assert named.in_flight == 0 and named.failures == 1


@pytest.mark.parametrize(
    ("status", "trial", "errors", "troubled"),
    [(200, False, 0, False), (404, False, 0, False), (429, False, 0, True), (500, False, 1, True)],
)
def test_a_servers_own_answer_ends_its_trial(
    status: int, trial: bool, errors: int, troubled: bool
) -> None:
    fleet = fleet_of("http://10.0.0.1:8000")
    (named,) = fleet.pools["m"].replicas
    named.on_trial = named.troubled = True
    chosen = choose(fleet)
    assert chosen is not None
    chosen.answered(2.0, status)
    chosen.ended(3.0)
    assert (named.on_trial, named.errors, named.troubled) == (trial, errors, troubled)


def test_a_request_that_never_got_there_says_nothing_of_the_server() -> None:
    fleet = fleet_of("http://10.0.0.1:8000")
    (named,) = fleet.pools["m"].replicas
    named.on_trial = True
    chosen = choose(fleet)
    assert chosen is not None
    chosen.ended(3.0)
    assert named.on_trial and not named.errors and not named.in_flight


def entry(text: bytes, kind: bytes = b"\x1a") -> bytes:
    value = kind + bytes([len(text)]) + text
    return b"\x0a\x10upstream.address\x12" + bytes([len(value)]) + value


@pytest.mark.parametrize(
    ("data", "end", "found"),
    [
        (b"headers" + entry(b"10.0.0.1:80"), 7, "10.0.0.1:80"),
        (b"headers" + entry(b"[fd00::1]:80") + b"more", 7, "[fd00::1]:80"),
        (entry(b"10.0.0.1:80"), 20, ""),  # what a server put into its own headers
        (b"headers" + entry(b"", b"\x08"), 7, ""),
        (b"headers" + entry(b"10.0.0.1:80")[:20], 7, ""),
        (b"headers" + entry(b"10.0.0.1:80")[:21], 7, ""),
        (b"headers", 7, ""),
    ],
)
def test_where_an_answer_came_from_is_read_after_the_headers(
    data: bytes, end: int, found: str
) -> None:
    assert wire.upstream_address(data, end) == found


async def test_a_name_that_is_asked_for_is_looked_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload names a server that was none when names were last looked up."""
    monkeypatch.setattr("wayside.extproc.replicas._SOON_S", 0.0)
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["10.0.0.7"]

    fleets = [fleet_of("http://10.0.0.1:8000"), fleet_of("http://vllm:8000")]
    fleets[1].resolver._lookup = lookup
    replicas = Replicas(lambda: fleets[0], lambda: 1.0, lambda: 0.0)
    looking = asyncio.create_task(replicas.look_up())
    await asyncio.sleep(0.01)
    fleets.reverse()
    assert replicas.choose(FORWARD, {}) is None and not asked
    async with asyncio.timeout(5):
        while (found := replicas.choose(FORWARD, {})) is None:
            await asyncio.sleep(0.001)
    assert found.hosts == "10.0.0.7:8000" and asked == ["vllm"]
    looking.cancel()
