"""The log: one line per event, whatever is in its fields."""

import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside.telemetry import Log

_ANSI = re.compile(r"\x1b\[[0-9]*m")


def written(console: bool, level: str = "info", **fields: Any) -> str:
    stream = io.StringIO()
    log = Log(stream, console=console)
    log("event", level=level, **fields)
    log.flush()
    return stream.getvalue()


def test_a_json_line_has_its_time_level_and_event_first() -> None:
    line = json.loads(written(False, model="big", n=1, f=0.5, none=None, many=["a"]))
    assert list(line)[:3] == ["ts", "level", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
    assert line["model"] == "big" and line["none"] is None and line["many"] == ["a"]


def test_a_console_line_leaves_out_what_is_empty() -> None:
    line = _ANSI.sub("", written(True, model="big", empty="", none=None, zero=0))
    assert line.split(" ", 1)[1].rstrip("\n") == "event        model=big zero=0"


def test_what_json_does_not_know_is_written_as_text() -> None:
    assert json.loads(written(False, error=OSError("gone")))["error"] == "gone"


@given(st.dictionaries(st.sampled_from("abcd"), st.text() | st.integers() | st.none(), max_size=4))
def test_whatever_the_fields_hold_a_json_line_is_one_line(fields: dict[str, Any]) -> None:
    text = written(False, **fields)
    assert text.count("\n") == 1
    line = json.loads(text)
    for key, value in fields.items():
        assert line[key] == value


@given(st.text(st.characters()))
def test_no_field_can_forge_a_line_or_move_the_cursor(value: str) -> None:
    text = written(True, model="x" + value)
    assert len(text.splitlines()) == 1
    assert _ANSI.sub("", text).rstrip("\n").isprintable()


@pytest.mark.parametrize("console", [True, False])
def test_half_a_surrogate_pair_does_not_stop_the_log(console: bool) -> None:
    assert "d800" in written(console, model="\ud800", error=OSError("\ud800"))


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", 0), ("info", 0), ("warning", 1), ("error", 1)]
)
def test_lines_below_the_level_are_not_written(level: str, shown: int) -> None:
    stream = io.StringIO()
    log = Log(stream, console=False, level="warning")
    log("event", level=level)
    log.flush()
    assert stream.getvalue().count("\n") == shown


@pytest.mark.parametrize(
    ("level", "at_once"), [("info", False), ("warning", True), ("error", True)]
)
def test_only_trouble_is_written_at_once(level: str, at_once: bool) -> None:
    stream = io.StringIO()
    Log(stream, console=False)("event", level=level)
    assert bool(stream.getvalue()) is at_once


def test_lines_are_gathered_and_never_pile_up() -> None:
    stream = io.StringIO()
    log = Log(stream, console=False)
    for _ in range(Log.MAX_PENDING):
        log("event")
    assert stream.getvalue().count("\n") == Log.MAX_PENDING
    log.flush()
    assert stream.getvalue().count("\n") == Log.MAX_PENDING


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_stream_that_fails_or_is_closed_never_raises() -> None:
    closed = io.StringIO()
    log = Log(closed, console=False)
    closed.close()
    log("event", level="error")
    Log(Full(), console=False)("event", level="error")
    narrow = io.TextIOWrapper(io.BytesIO(), "ascii")
    Log(narrow, console=True)("event", level="error", model="日本")


@pytest.mark.parametrize("console", [None, True, False])
def test_a_pipe_gets_json_and_a_terminal_gets_colour(console: bool | None) -> None:
    stream = io.StringIO()
    log = Log(stream, console=console)
    log("event", level="error")
    assert stream.getvalue().startswith("{") is (console is not True)
