"""``wayside logs``: what is read, chosen and shown of a router's log."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import Wayside
from wayside.cli.log_lines import (
    MAX_LINE,
    Pieces,
    Wanted,
    followed,
    lines,
    parse,
    readable,
    since,
    statuses,
)
from wayside.telemetry import Log

NOW = "2026-01-31T12:00:00.000Z"


def event(name: str = "request", **fields: Any) -> str:
    return json.dumps({"ts": NOW, "level": "info", "event": name, **fields})


ROWS = [
    event(id="r1", shell="http", status=200, requested="auto", model="coder",
          decision="programming", total_ms=12.34, signals=["domain:code"]),
    event(id="r2", shell="http", status=503, requested="small", model="small", total_ms=1.0),
    event("reloaded", config="wayside.yaml"),
    event("refused", ts="2026-01-31T13:00:00Z", level="error", error="no"),
    "Traceback (most recent call last):",
    '{"cut off',
]  # fmt: skip


@pytest.fixture
def log(here: Path) -> Path:
    path = here / "access.log"
    path.write_text("\n".join(ROWS) + "\n")
    return path


def ids(out: str) -> list[str]:
    return [json.loads(line).get("id") or json.loads(line)["event"] for line in out.splitlines()]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["r1", "r2", "reloaded", "refused"]),
        (["--model", "coder"], ["r1"]),
        (["--model", "coder", "--model", "small"], ["r1", "r2"]),
        (["--model", "auto"], ["r1"]),
        (["--decision", "programming"], ["r1"]),
        (["--status", "5xx"], ["r2"]),
        (["--status", "<400"], ["r1"]),
        (["--status", "503"], ["r2"]),
        (["--event", "reloaded"], ["reloaded"]),
        (["--level", "warning"], ["refused"]),
        (["--text", "WAYSIDE.yaml"], ["reloaded"]),
        (["--since", "2026-01-31T12:30Z"], ["refused"]),
        (["-n", "2"], ["reloaded", "refused"]),  # of the events
        (["-n", "0"], []),
    ],
)
def test_what_is_asked_for_is_shown(
    log: Path, wayside: Wayside, options: list[str], found: list[str]
) -> None:
    said = wayside("logs", str(log), "--json", *options)
    assert (said.status, ids(said.out)) == (0, found)


def test_people_see_requests_in_short_and_other_lines_as_they_are(
    log: Path, wayside: Wayside
) -> None:
    out = wayside("logs", str(log)).out.splitlines()
    assert out[0] == (
        '12:00:00 200 auto > coder [programming] 12.3 ms  id=r1 signals=["domain:code"]'
    )
    assert out[1] == "12:00:00 503 small 1.0 ms  id=r2"
    assert out[2] == "12:00:00 reloaded     config=wayside.yaml"
    assert out[4:] == ["Traceback (most recent call last):", '{"cut off']


def test_scripts_are_told_what_was_left_out(log: Path, wayside: Wayside) -> None:
    assert wayside("logs", str(log), "--json").err == "2 lines were not a router's, and left out\n"


def test_files_that_were_rotated_are_read_packed_or_not(here: Path, wayside: Wayside) -> None:
    with gzip.open(here / "a.log.2.gz", "wt") as packed:
        packed.write(ROWS[0])
    (here / "a.log.1").write_text(ROWS[1])
    (here / "a.log").write_text(ROWS[2])
    said = wayside("logs", "a.log.2.gz", "a.log.1", "a.log", "--json")
    assert ids(said.out) == ["r1", "r2", "reloaded"]


def test_the_file_of_the_configuration_is_read_where_none_is_named(
    log: Path, here: Path, wayside: Wayside
) -> None:
    models = "models: {a: {endpoints: ['http://127.0.0.1:1']}}\n"
    (here / "wayside.yaml").write_text(f"log: {{access: {log.name}}}\n{models}")
    assert ids(wayside("logs", "-c", "wayside.yaml", "--json", "--status", "2xx").out) == ["r1"]
    (here / "wayside.yaml").write_text(models)
    said = wayside("logs", "-c", "wayside.yaml")
    assert said.status == 2 and "goes to standard error" in said.err
    assert "set log.access to a file" in said.err


def test_a_pipe_is_read(wayside: Wayside) -> None:
    assert ids(wayside("logs", "--json", text=ROWS[0]).out) == ["r1"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--status", "9xx"], "'9xx' is no status; write 404, 5xx or >=400"),
        (["--since", "soon"], "'soon' is no time"),
        (["-", "a.log"], "standard input is read alone"),
        (["no.log"], "no.log: No such file or directory"),
        (["-f", "a.log.1.gz"], "is packed and does not grow"),
    ],
)
def test_what_cannot_be_done_is_said(wayside: Wayside, arguments: list[str], what: str) -> None:
    said = wayside("logs", *arguments)
    assert said.status in (1, 2) and what in said.err


def test_our_own_log_is_understood() -> None:
    stream = io.StringIO()
    written = Log(stream, console=False)
    written("reloaded", config="x", why="\x1b[2J")
    written.flush()
    line = parse(stream.getvalue().encode())
    assert line.event == "reloaded"
    assert "\\x1b[2J" in readable(line, lambda text, **_: text)


# files that grow


class Steps:
    """Waits by doing the next thing to the file; when nothing is left, following ends."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps: Iterator[Callable[[], object]] = iter(steps)

    def __call__(self) -> bool:
        step = next(self._steps, None)
        if step is not None:
            step()
        return step is not None


def told(path: Path, *steps: Callable[[], object]) -> list[str]:
    return [raw.decode() for raw in followed(path, Steps(*steps)) if raw is not None]


def adds(path: Path, text: str) -> Callable[[], object]:
    def add() -> None:
        with path.open("a") as stream:
            stream.write(text)

    return add


def test_a_file_is_followed_as_it_grows_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("1\n")
    assert told(path, adds(path, "2\nhal"), adds(path, "f\n"), adds(path, "end")) == [
        "1", "2", "half", "end",
    ]  # fmt: skip


def test_of_a_great_file_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("".join(f"line {n}\n" for n in range(1000)))
    found = [raw for raw in followed(path, Steps(adds(path, "more\n")), latest=25) if raw]
    assert found == [b"line 998", b"line 999", b"more"]


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    path.write_text("1\n")
    rotate: list[Callable[[], object]] = [
        lambda: path.rename(old),
        adds(old, "2\n"),  # the router has not noticed yet
        adds(path, "3\n"),
        adds(path, "4\n"),
    ]
    assert told(path, *rotate) == ["1", "2", "3", "4"]


def test_a_file_that_was_cut_short_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("1\n2\n")
    assert told(path, lambda: path.write_text("3\n")) == ["1", "2", "3"]


def test_a_file_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert told(path, lambda: None, adds(path, "1\n")) == ["1"]


# whatever there is


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_line_is_too_broken_to_be_shown(pieces: list[bytes]) -> None:
    cut = Pieces()
    raw = [line for piece in pieces for line in cut.add(piece)] + [cut.rest]
    assert b"\n".join(raw) == b"".join(pieces)
    for line in map(parse, raw):
        shown = readable(line, lambda text, **_: str(text))
        assert shown.isprintable()
        Wanted(("a",), status=statuses("5xx"), level="info", since=0.0).takes(line)


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_no_event_is_too_odd_to_be_shown(fields: dict[str, Any]) -> None:
    line = parse(json.dumps({"event": "request", "status": 1, "total_ms": "x", **fields}).encode())
    assert readable(line, lambda text, **_: str(text)).isprintable()
    Wanted(("a",), ("b",), ("c",), statuses(">=100"), "error", "", 1.0).takes(line)


def test_of_a_line_without_end_the_beginning_is_kept() -> None:
    found = list(lines(io.BytesIO(b"x" * (3 * MAX_LINE) + b"\nnext\n")))
    assert len(found[0]) <= 2 * MAX_LINE and found[1] == b"next"


@pytest.mark.parametrize(
    ("text", "at"), [("90s", 910.0), ("2m", 880.0), ("1970-01-01T00:00:05Z", 5.0)]
)
def test_times_are_ago_or_as_the_log_writes_them(text: str, at: float) -> None:
    assert since(text, 1000.0) == at
