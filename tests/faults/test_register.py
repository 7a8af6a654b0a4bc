"""The register of faults is whole, names tests that exist, and its page is fresh."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.faults.register import PAGE, ROOT, faults, page

TESTS = ROOT / "tests"


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of the tests of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.name.startswith("test_")
    )


def test_there_are_forty_and_each_has_a_test_of_its_own() -> None:
    found = faults()
    assert [fault.number for fault in found] == list(range(1, 41))
    ours = {name for path in Path(__file__).parent.glob("test_*.py") for name in functions(path)}
    for fault in found:
        mine = {name for name in ours if name.startswith(fault.prefix)}
        assert mine, f"no test is called {fault.prefix}..."
        cited = {id.rpartition("::")[2] for one in fault.clauses for id in one.shown}
        assert mine <= cited, f"{fault.number} cites none of {sorted(mine - cited)}"


def test_every_clause_names_tests_that_exist_or_says_why_there_is_none() -> None:
    for fault in faults():
        assert fault.clauses, fault.number
        for clause in fault.clauses:
            assert clause.shown or clause.reason, (fault.number, clause.expected)
            for id in clause.shown:
                file, _, name = id.partition("::")
                assert (TESTS / file).is_file(), (fault.number, id)
                assert not name or name in functions(TESTS / file), (fault.number, id)


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: make generate"
