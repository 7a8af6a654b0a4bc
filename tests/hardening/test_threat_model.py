"""The threat model names tests, and they exist; it says what it has to."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
NODE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(n.name for n in found if n.name.startswith("test_"))


def test_every_test_that_is_named_exists() -> None:
    named = NODE.findall(PAGE.read_text())
    assert len(named) > 40
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).is_file() or name not in names_in(path)
    ]
    assert not missing


def test_each_of_the_nine_promises_is_shown_by_several() -> None:
    text = PAGE.read_text()
    parts = re.split(r"^### (\d)\. ", text.partition("## The nine promises")[2], flags=re.M)
    promises = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(promises) == [str(n) for n in range(1, 10)]
    for number, part in promises.items():
        assert len(NODE.findall(part.partition("\n## ")[0])) >= 3, number


def test_security_md_has_what_reporters_look_for() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "## Report a weakness" in text
    assert "90 days" in text
    links = re.findall(r"\]\((docs/[^)]+)\)", text)
    assert links
    assert all((ROOT / link).is_file() for link in links)
    promises = re.findall(r"^(\d)\. ", text, re.MULTILINE)
    assert promises == [str(n) for n in range(1, 10)]
