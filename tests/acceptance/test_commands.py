"""Every command that the five requirements print is mapped to the test that runs it (AX-09).

The table is ``commands.yaml``; :func:`page` makes ``docs/reference/guide-commands.md`` of it.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from tests.acceptance import guides
from tests.acceptance.command_table import TABLE, Entry, covers, page, table
from tests.acceptance.guides import GUIDES, REQUIREMENTS, Command

ROOT = Path(__file__).parents[2]
PLAYS = "blocks(guide())"
"""In a test that runs a guide's blocks from its page, all of them, in their order."""
HOW = ("verbatim", "adapted", "stand-in", "not here")
INDEX = {"000": 21, "001": 24, "002": 22, "003": 3, "004": 52}
"""Of the specification's command index, which leaves out ``NAME=$(...)`` of requirement 000."""

needs_requirements = pytest.mark.skipif(
    not REQUIREMENTS.exists(), reason="shared/requirements is not here"
)


@pytest.mark.shared
@needs_requirements
def test_ax_09_as_many_commands_are_found_as_the_index_lists() -> None:
    """AX-09: 122, and two assignments beside them."""
    found = {guide: guides.commands(guide) for guide in GUIDES}
    counted = {guide: sum(not c.assignment for c in each) for guide, each in found.items()}
    assert counted == INDEX and sum(counted.values()) == 122
    assert sum(c.assignment for each in found.values() for c in each) == 2


@pytest.mark.shared
@needs_requirements
@pytest.mark.parametrize("guide", GUIDES)
def test_ax_09_every_command_is_mapped(guide: str) -> None:
    """AX-09: once, and nothing is mapped that is not printed."""
    printed = Counter(command.text for command in guides.commands(guide))
    entries = [each for each in table() if each.guide == guide]
    missing = [text for text in printed if not any(covers(each, text) for each in entries)]
    twice = [text for text in printed if sum(covers(each, text) for each in entries) > 1]
    said = [(each, pattern) for each in entries for pattern in each.commands]
    stale = [
        pattern
        for each, pattern in said
        if not any(
            covers(Entry(guide, each.test, each.how, each.why, (pattern,)), t) for t in printed
        )
    ]
    name = TABLE.relative_to(ROOT)
    assert not missing, f"{name} does not map\n  " + "\n  ".join(missing)
    assert not twice, f"{name} maps twice\n  " + "\n  ".join(twice)
    assert not stale, f"{name} maps what is printed nowhere\n  " + "\n  ".join(stale)


@cache
def functions(path: str) -> set[str]:
    """The tests of a module."""
    file = ROOT / path
    if not file.is_file():
        return set()
    found = ast.walk(ast.parse(file.read_text("utf-8")))
    return {
        each.name for each in found if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def words(text: str) -> str:
    """What is left of code and of a command when quotes and the like are gone."""
    return " ".join(re.sub(r"[^\w./:@${}=+<>-]+", " ", text).split())


@pytest.mark.parametrize("entry", table(), ids=lambda e: f"{e.guide} {e.commands[0][:40]}")
def test_ax_09_what_an_entry_says_is_so(entry: Entry) -> None:
    """AX-09: the test exists; who changes a command, or does not run it, says why; and what is
    run verbatim is in the test's file, or the file plays the requirement itself."""
    assert entry.how in HOW, f"{entry.how!r} is none of {HOW}"
    assert entry.how == "verbatim" or len(entry.why.split()) >= 4, "say why"
    path, _, name = entry.test.partition("::")
    assert name.partition("[")[0] in functions(path), f"there is no test {entry.test}"
    if entry.how == "verbatim":
        module = (ROOT / path).read_text("utf-8")
        for command in entry.commands:
            assert PLAYS in module or words(command) in words(module), (
                f"{path} does not contain {command!r}: say adapted, or stand-in, and why"
            )


def test_the_page_is_made_of_the_table() -> None:
    """AX-09: readers see the same table."""
    shown = page()
    for entry in table():
        assert entry.test in shown
    assert shown.count("\n| `") == sum(len(each.commands) for each in table())


# --- the reader of guides -----------------------------------------------------------------------


def read(block: str) -> list[str]:
    return [text for _, text in guides._read(block)]


def test_a_block_is_read_as_a_shell_reads_it() -> None:
    assert read("# a comment\nmake build\n\nmake test  # too\n") == [
        "make build",
        "make test # too",
    ]
    assert read("oc exec a -- \\\n  curl http://b\n") == ["oc exec a -- curl http://b"]
    assert read("curl u -d '{\n  \"a\": 1\n}'\nmake b") == ["curl u -d '{ \"a\": 1 }'", "make b"]
    assert read("$ kubectl get pods\nNAME  READY\nweb-1  1/1") == ["kubectl get pods"]
    assert read("minikube service x --url\nhttp://192.0.2.1:1\n") == ["minikube service x --url"]
    assert read("IP=$(oc get svc)") == ["IP=$(oc get svc)"]
    assert Command("000", 1, "IP=$(oc get svc)").assignment


def test_what_is_no_command_is_not_passed_over() -> None:
    """A program that nobody listed must not be taken for output."""
    with pytest.raises(ValueError, match="podman"):
        read("podman build .\n")


def test_an_entry_may_be_a_beginning() -> None:
    entry = Entry("004", "t", "verbatim", "", ("curl http://a ...", "make"))
    assert covers(entry, "curl http://a -d x") and covers(entry, "make")
    assert not covers(entry, "make test")
