"""``wayside top``: a running router, live.

It reads what the management listener shows to everybody on this machine (``/metrics``,
``/ready``, records of the plugin ``router_replay``) and sends nothing. Where several workers
serve, their parent adds their numbers up.
"""

from __future__ import annotations

import contextlib
import json
import select
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wayside.cli.console import console
from wayside.cli.exposed import url_here
from wayside.cli.files import DEFAULT_NAMES, config_option, load
from wayside.cli.top_reading import Frame, Look, Model, frame, look

USUAL: Final = "http://127.0.0.1:8080"
MAX_PAGE: Final = 16 << 20
"""Bytes of an answer; a longer one is none of a router's."""
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy stands between this command and the router beside it."""


@click.command(
    "top",
    short_help="Watch a running router.",
    epilog="""\b
Examples:
  wayside top
  wayside top --once
  wayside top --json --interval 10 >> load.jsonl
  wayside top --management http://127.0.0.1:9090 --last 10""",
)
@click.option(
    "--management",
    metavar="URL",
    help=f"The router's management listener.  [default: as configured, {USUAL}]",
)
@config_option
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds from one look to the next.",
)
@click.option(
    "--last",
    type=click.IntRange(0, 100),
    default=5,
    show_default=True,
    help="Show so many of the newest requests, where a decision keeps records of them.",
)
@click.option("--once", is_flag=True, help="Print one plain picture, and end.")
@click.option("--json", "as_json", is_flag=True, help="Plain data: one line for each look.")
def command(
    management: str | None,
    path: Path | None,
    interval: float,
    last: int,
    once: bool,
    as_json: bool,
) -> None:
    """Watch a running router: requests, errors, times, models and their servers.

    Rates are of the last interval; times are of the requests that ended in it, or since the start
    where none did. On a terminal q ends it and p holds it still; in a pipe a plain picture is
    printed for each look.
    """
    source = Source(management or _configured(path), last)
    if once or as_json or not sys.stdout.isatty():
        _plain(source, interval, once=once, as_json=as_json)
    else:
        _live(source, interval)


def _configured(path: Path | None) -> str:
    """The management listener of the configuration that `wayside serve` would read here."""
    if path is None and not any(Path(name).is_file() for name in DEFAULT_NAMES):
        return USUAL
    rule = load(path).settings.management
    return url_here(rule, rule.port)


class Source:
    """A router's management listener."""

    def __init__(self, management: str, last: int = 5) -> None:
        if not management.startswith(("http://", "https://")):
            raise click.ClickException(f"{management!r} is no address; write http://host:port")
        self.url, self._last = management.rstrip("/"), last

    def look(self) -> Look:
        """Raises ``click.ClickException`` that says what to do."""
        try:
            return look(self._get("/metrics").decode("utf-8", "replace"), time.monotonic())
        except urllib.error.HTTPError as error:
            raise click.ClickException(
                f"{self.url}/metrics answers {error.code}: not a router's management listener; "
                "name that with --management (the log's line `management` has its URL)"
            ) from None
        except OSError as error:
            raise click.ClickException(
                f"no router answers at {self.url} ({getattr(error, 'reason', error)}); start one "
                "with `wayside serve`, or say where its management listener is with --management"
            ) from None
        except ValueError:
            raise click.ClickException(
                f"{self.url} answers, but not as a router: is it the port of `listen`? The "
                "management listener is the other one, 8080 unless `management.port` says else"
            ) from None

    def message(self) -> str:
        """What the router says of itself: ready, draining, a refused configuration."""
        try:
            return str(json.loads(self._get("/ready")).get("message", ""))
        except urllib.error.HTTPError as error:
            with contextlib.suppress(ValueError, AttributeError, OSError):
                return str(json.loads(error.read(MAX_PAGE)).get("message", ""))
        except (OSError, ValueError, AttributeError):
            pass
        return ""

    def latest(self) -> list[dict[str, Any]]:
        """The newest requests of decisions that keep records; never a prompt."""
        if not self._last:
            return []
        try:
            records = json.loads(self._get(f"/v1/router_replay?limit={self._last}"))["data"]
            return [_told(record) for record in records]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []

    def _get(self, path: str) -> bytes:
        with _OPENER.open(f"{self.url}{path}", timeout=5) as answer:
            body: bytes = answer.read(MAX_PAGE + 1)
        if len(body) > MAX_PAGE:
            raise ValueError("too long")
        return body


def _told(record: dict[str, Any]) -> dict[str, Any]:
    names = ("timestamp", "id", "decision", "selected_model", "response_status", "seconds")
    return {name: record.get(name) for name in names}


def _plain(source: Source, interval: float, *, once: bool, as_json: bool) -> None:
    before = source.look()
    while True:
        time.sleep(interval)
        now = source.look()
        shown, latest = frame(before, now), source.latest()
        if as_json:
            said = {"ts": round(time.time(), 3), "message": source.message(), **asdict(shown)}
            click.echo(json.dumps({**said, "last": latest}))
        else:
            console().print(picture(shown, source.message(), latest))
        if once:
            return
        before = now


def _live(source: Source, interval: float) -> None:
    before = source.look()
    held = False
    out = console()
    with _keys() as pressed, Live(console=out, screen=True, auto_refresh=False) as live:
        live.update(picture(frame(None, before), source.message(), source.latest()), refresh=True)
        while (key := pressed(interval)) != "q":
            held = held != (key == "p")
            if held:
                continue
            try:
                now = source.look()
            except click.ClickException as error:
                live.update(Text(f"{error.message}\n\nLooking again; q ends.", "yellow"),
                            refresh=True)  # fmt: skip
                continue
            shown = picture(frame(before, now), source.message(), source.latest())
            live.update(shown, refresh=True)
            before = now


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Waits for a key at most so many seconds; ``""`` when none was pressed."""
    if not sys.stdin.isatty():

        def wait(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield wait
        return
    import termios  # not on every platform, and needed on a terminal alone
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed(seconds: float) -> str:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


# the picture


def picture(shown: Frame, message: str, latest: list[dict[str, Any]]) -> RenderableType:
    """For people. Names are other people's text: nothing in them is taken for markup."""
    parts: list[RenderableType] = [_head(shown, message), Text(""), _models(shown)]
    busy = {name: rate for name, rate in shown.decisions.items() if rate and name}
    if busy:
        told = ", ".join(f"{_clean(name)} {rate:.1f}/s" for name, rate in list(busy.items())[:8])
        parts += [Text(""), Text(f"decisions  {told}")]
    if latest:
        parts += [Text(""), _latest(latest)]
    return Group(*parts)


def _head(shown: Frame, message: str) -> Text:
    errors = f"{shown.errors_per_s:.1f} errors/s"
    text = Text.assemble(
        ("wayside  ", "bold"),
        f"{shown.per_s:.1f} requests/s, ",
        (errors, "red" if shown.errors_per_s else ""),
        f", {shown.in_flight} in flight, {shown.queued} waiting",
    )
    text.append(f"\np50 {_time(shown.p50_s)}  p95 {_time(shown.p95_s)}")
    text.append(f"  since the start {shown.requests:,} requests, {shown.errors:,} errors")
    if shown.shed_per_s:
        text.append(f"  refused for want of room {shown.shed_per_s:.1f}/s", "yellow")
    if shown.cache_hit_share is not None:
        text.append(f"  cache {shown.cache_hit_share:.0%}")
    said = _clean(message) or "no word"
    fine = shown.config_in_force and said == "serving"
    text.append(f"\n{said}, configuration {shown.generation}", "" if fine else "yellow")
    return text


def _models(shown: Frame) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("model and servers", overflow="ellipsis", no_wrap=True)
    for name in ("req/s", "err/s", "p50", "p95", "first", "tok/s", "flight", "waiting", "KV"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for model in shown.models:
        table.add_row(
            Text(_clean(model.name), "bold"),
            f"{model.per_s:.1f}",
            Text(f"{model.errors_per_s:.1f}", "red" if model.errors_per_s else ""),
            _time(model.p50_s),
            _time(model.p95_s),
            _time(model.first_byte_p50_s),
            f"{model.tokens_per_s:,.0f}",
            str(model.in_flight),
            str(model.queued),
            "",
            _whole(model),
        )
        for replica in model.replicas:
            odd = replica.state != "in rotation"
            table.add_row(
                Text(f"  {_clean(replica.name)}", "dim"),
                f"{replica.picks_per_s:.1f}" if replica.picks_per_s else "",
                *[""] * 5,
                str(replica.in_flight),
                "" if replica.waiting is None else f"{replica.waiting:.0f}",
                "" if replica.kv_usage is None else f"{replica.kv_usage:.0%}",
                Text(replica.state, "yellow" if odd else "dim"),
            )
    if not shown.models:
        table.add_row(Text("no model is configured", "yellow"))
    return table


def _whole(model: Model) -> Text:
    out = sum(replica.state != "in rotation" for replica in model.replicas)
    if not out:
        return Text("")
    return Text(f"{out} of {len(model.replicas)} servers out", "yellow")


def _latest(latest: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("last", "status", "model", "decision", "took", "id"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for record in latest:
        status = record["response_status"]
        bad = isinstance(status, int) and status >= 400
        when, took = record["timestamp"], record["seconds"]
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(when)) if _number(when) else "",
            Text(_clean(status), "red" if bad else ""),
            Text(_clean(record["selected_model"])),
            Text(_clean(record["decision"])),
            _time(took) if _number(took) else "",
            Text(_clean(record["id"]), "dim"),
        )
    return table


def _number(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1e11


def _clean(value: object) -> str:
    """On one line, and without anything that moves a terminal's cursor."""
    text = "" if value is None else str(value)[:120]
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
