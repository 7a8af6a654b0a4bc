"""Every row of the acceptance tables that is ours by now has a test that names it.

Rows are written in docstrings, comments and ids of tests as ``A1-20``, ``A1-20, 21`` or
``A1-20..23``, and in names of tests as ``test_a1_20_...``. What only a cluster adds is in
``docs/explanation/acceptance.md``, with the command that shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "acceptance.md"
ROWS = [
    *(f"A0-{n:02d}" for n in range(1, 39)),
    *(f"A1-{n:02d}" for n in range(1, 107)),
    *(f"A2-{n:02d}" for n in range(1, 48)),
    *(f"A3-{n:02d}" for n in range(1, 39)),
    *(f"A4-{n:02d}" for n in range(1, 50)),
    *(f"AX-{n:02d}" for n in range(1, 11)),
]
"""Of each seed: dynamic IPs, the operator, the dual gateway, the router controller, Istio with
llm-d; and what cuts across."""
_CITED = re.compile(r"\b(A[0-9X])-(\d{2,3})((?:(?:, | and |\.\.| to )(?:A[0-9X]-)?\d{2,3}\b)*)")
_MORE = re.compile(r"(, | and |\.\.| to )(?:A[0-9X]-)?(\d{2,3})")


def cited(text: str) -> Iterator[str]:
    """The rows that ``text`` names, ranges spelt out."""
    for group, first, more in _CITED.findall(text):
        last = int(first)
        yield f"{group}-{last:02d}"
        for joint, number in _MORE.findall(more):
            for n in range(last + 1 if joint in ("..", " to ") else int(number), int(number) + 1):
                yield f"{group}-{n:02d}"
            last = int(number)


def named(text: str) -> Iterator[str]:
    """The rows in names of tests."""
    for name in re.findall(r"\bdef (\w*a[0-9x]_\d{2,3}_\w+)", text):
        for group, number in re.findall(r"(?<![a-z])(a[0-9x])_(\d{2,3})(?=_)", name):
            yield f"{group.upper()}-{number}"


def in_tests() -> set[str]:
    files = [p for p in (ROOT / "tests").rglob("*.py") if p != Path(__file__)]
    return {row for p in files for t in [p.read_text("utf-8")] for row in [*cited(t), *named(t)]}


def on_the_page() -> dict[str, str]:
    """Row -> the command that shows it on a cluster."""
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and (rows := list(cited(cells[0]))):
            found |= dict.fromkeys(rows, cells[2])
    return found


TESTED = in_tests()


@pytest.mark.parametrize("row", ROWS)
def test_it_is_shown(row: str) -> None:
    """By a test; the page says what is left to see, which is never all of it."""
    assert row in TESTED, f"no test under tests/ names {row}"


def test_the_page_lists_commands_only_for_rows_that_are_there() -> None:
    commands = on_the_page()
    assert set(commands) <= set(ROWS)
    assert all("`" in command for command in commands.values())


def test_rows_are_found_in_names() -> None:
    names = "def test_a4_46_two_gpus(): ...\nasync def test_a1_09_a1_10_bundle_and_catalog(): ..."
    assert list(named(names)) == ["A4-46", "A1-09", "A1-10"]
    assert not list(named("def test_beta_46_is(): ...\nx = data_12_3"))


def test_ranges_are_spelt_out() -> None:
    said = "A1-18..20, 22 and 24; AX-01; A3-03 to 05, A3-09"
    assert list(cited(said)) == [
        *("A1-18", "A1-19", "A1-20", "A1-22", "A1-24", "AX-01"),
        *("A3-03", "A3-04", "A3-05", "A3-09"),
    ]
