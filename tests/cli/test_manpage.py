"""``wayside manpage``: what ``man`` makes of it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.cli.conftest import Wayside
from wayside.cli import _COMMANDS
from wayside.cli.manpage import escaped, text

needs_groff = pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")


def typeset(page: str) -> str:
    """As a terminal shows it; a mistake in the page ends the test."""
    found = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=100n"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    return found.stdout


@needs_groff
def test_the_page_of_a_command_reads_as_its_help_does(wayside: Wayside) -> None:
    said = wayside("manpage", "logs")
    shown = typeset(said.out)
    assert shown.startswith("WAYSIDE-LOGS(1)")
    for part in (
        "wayside-logs - Read, follow and filter a router's log",
        "wayside logs [OPTIONS] [FILES]...",
        "-f, --follow",
        "wayside serve 2>&1 | wayside logs --model coder",
        "EXIT STATUS",
        "WAYSIDE_CONFIG",
    ):
        assert part in shown


@needs_groff
def test_the_whole_page_has_every_command(wayside: Wayside) -> None:
    shown = typeset(wayside("manpage").out)
    for name in _COMMANDS:
        assert f"wayside {name}" in shown
    assert "wayside config convert" in shown  # and those of groups


def test_a_command_that_is_not_there_is_refused(wayside: Wayside) -> None:
    said = wayside("manpage", "config", "chekc")
    assert said.status == 2
    assert "no command 'chekc'; `wayside config --help`" in said.err


@pytest.mark.parametrize(
    ("source", "roff"),
    [
        (".hidden", "\\&.hidden"),
        ("a-b", "a\\-b"),
        ("\\n", "\\en"),
        ("'x' ``y``", "\\(aqx\\(aq \\(gay\\(ga"),
        ("\u2265", "\\[u2265]"),
    ],
)
def test_no_character_is_taken_for_a_request(source: str, roff: str) -> None:
    assert escaped(source) == roff


def test_lines_behind_a_bell_stay_lines() -> None:
    assert list(text("One\ntwo.\n\n\b\na\n  b")) == [
        ".PP", "One two.", ".PP", ".nf", "a", "  b", ".fi",
    ]  # fmt: skip
