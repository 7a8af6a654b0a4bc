"""``wayside top``: what is worked out from a router's metrics, and what is shown."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.gateway.api_rig import Api, listening, models
from wayside.cli.top import Source, command, picture
from wayside.cli.top_reading import Frame, frame, look
from wayside.cli.workers import summed
from wayside.telemetry import Log, Telemetry
from wayside.vocab.outcome import Record

REPLAYED = """
models: {small: {endpoints: [http://127.0.0.1:1]}, coder: {endpoints: [http://127.0.0.1:2]}}
routing:
  default_model: small
  decisions: [{name: all, models: [coder], plugins: {router_replay: {}}}]
"""


def page(*requests: tuple[str, str, int, float]) -> str:
    """A router's metrics after requests: model, decision, status, seconds."""
    clock = [0.0]
    telemetry = Telemetry(Log(io.StringIO()))
    telemetry.now = lambda: clock[0]
    for model, decision, status, seconds in requests:
        exchange = telemetry.begin(shell="http")
        exchange.routed(Record(path="routed", model=model, decision=decision, recipe="default"))
        clock[0] += seconds
        exchange.ended(status=status)
    telemetry.metrics.gauge(
        "wayside_upstream_in_flight", "", "model", "endpoint", read=lambda: [(("a", "h:1"), 2.0)]
    )
    telemetry.metrics.gauge(
        "wayside_endpoint_kv_usage", "", "model", "endpoint", read=lambda: [(("a", "h:1"), 0.5)]
    )
    telemetry.metrics.gauge(
        "wayside_upstream_breaker_state", "", "model", "endpoint", read=lambda: [(("a", "h:1"), 1)]
    )
    telemetry.metrics.gauge("wayside_queue_length", "", "model", read=lambda: [(("a",), 3.0)])
    return telemetry.metrics.text().decode()


EARLY = [("a", "sums", 200, 0.02)] * 2
LATER = [*EARLY, *[("a", "sums", 200, 0.2)] * 6, ("b", "", 503, 4.0), ("b", "", 200, 4.0)]


def shown(seen: Frame) -> str:
    out = Console(file=io.StringIO(), width=160, color_system=None)
    out.print(picture(seen, "serving", []))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_rates_are_of_the_time_between_two_looks() -> None:
    seen = frame(look(page(*EARLY), 10.0), look(page(*LATER), 14.0))
    assert (seen.requests, seen.errors) == (10, 1)
    assert (seen.per_s, seen.errors_per_s) == (2.0, 0.25)
    a, b = seen.models
    assert (a.name, a.per_s, a.queued, a.in_flight) == ("a", 1.5, 3, 2)
    assert (b.name, b.per_s, b.errors_per_s) == ("b", 0.5, 0.25)
    assert seen.decisions == {"sums": 1.5, "": 0.5}
    assert seen.queued == 3


def test_quantiles_are_of_what_ended_in_between() -> None:
    before, after = look(page(*EARLY), 10.0), look(page(*LATER), 14.0)
    assert 0.1 < (frame(before, after).models[0].p50_s or 0) <= 0.25
    assert 2.5 < (frame(before, after).p95_s or 0) <= 5
    quiet = frame(after, look(page(*LATER), 15.0))
    assert quiet.per_s == 0 and 0.1 < (quiet.p50_s or 0) <= 0.25  # since the start
    assert frame(None, look(page(), 1.0)).p50_s is None


def test_servers_are_told_with_what_they_say_of_themselves() -> None:
    seen = frame(None, look(page(*EARLY), 1.0))
    (replica,) = seen.models[0].replicas
    assert (replica.name, replica.in_flight, replica.kv_usage) == ("h:1", 2, 0.5)
    assert (replica.state, replica.waiting) == ("left out", None)
    told = shown(seen)
    assert "50%" in told and "left out" in told and "1 of 1 servers out" in told


def test_a_router_that_was_started_again_is_looked_at_afresh() -> None:
    seen = frame(look(page(*LATER), 10.0), look(page(*EARLY), 11.0))
    assert (seen.per_s, seen.interval_s) == (0.0, 0.0)


def test_several_workers_are_one_router() -> None:
    """What all workers see of a server is not added up; what each of them sent there is."""
    text = summed([page(*EARLY).encode(), page(*LATER).encode()]).decode()
    seen = frame(None, look(text, 1.0))
    (replica,) = seen.models[0].replicas
    assert (seen.requests, replica.in_flight) == (12, 4)
    assert (replica.kv_usage, replica.state) == (0.5, "left out")


def test_names_are_other_peoples_text() -> None:
    seen = frame(None, look(page(("[bold]x[/]\x1b[2J", "", 200, 0.1)), 1.0))
    told = shown(seen)
    assert "[bold]x[/]\\x1b[2J" in told and "\x1b" not in told


@pytest.mark.parametrize("text", ["", "<html>", "go_goroutines 7\n"])
def test_what_is_no_router_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="no metrics of a router"):
        look(text, 1.0)


# against a router


async def said(api: Api, *arguments: str) -> tuple[int, str]:
    given = ["--management", api.url, "--interval", "0.1", *arguments]
    found = await asyncio.to_thread(CliRunner().invoke, command, given)
    return found.exit_code, found.output


async def test_one_plain_picture() -> None:
    async with listening(models()) as api:
        status, told = await said(api, "--once")
        assert status == 0
        assert "0.0 requests/s" in told and "small" in told and "127.0.0.1:2" in told
        assert "serving, configuration 1" in told


async def test_scripts_get_one_object() -> None:
    async with listening(models(), REPLAYED) as api:
        status, told = await said(api, "--once", "--json")
        assert status == 0
        found = json.loads(told)
        assert [model["name"] for model in found["models"]] == ["coder", "small"]
        assert found["last"] == [] and found["message"] == "serving"
        assert found["models"][0]["replicas"][0]["state"] == "in rotation"


async def test_on_a_terminal_it_goes_on_until_q() -> None:
    async with listening(models()) as api:
        ours, theirs = pty.openpty()
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wayside", "top", "--management", api.url),
            *("--interval", "0.1"),
            stdin=theirs,
            stdout=theirs,
        )
        os.close(theirs)
        seen = b""
        while seen.count(b"requests/s") < 2:  # drawn, and drawn again
            seen += await asyncio.to_thread(os.read, ours, 4096)
        os.write(ours, b"q")
        assert await watching.wait() == 0
        os.close(ours)


def test_where_nothing_listens_it_is_said_what_to_do() -> None:
    found = CliRunner().invoke(command, ["--once", "--management", "http://127.0.0.1:9"])
    assert found.exit_code == 1
    assert "start one with `wayside serve`, or say where" in found.output
    found = CliRunner().invoke(command, ["--once", "--management", "127.0.0.1:9"])
    assert found.exit_code == 1 and "write http://host:port" in found.output


def test_a_server_that_is_no_router_is_told_apart(httpd: str) -> None:
    with pytest.raises(Exception, match="not a router's management listener"):
        Source(httpd).look()


@pytest.fixture
def httpd() -> Iterator[str]:
    import http.server
    import threading

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
