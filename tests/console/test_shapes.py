"""The contract between pages and server: ``types.ts`` and ``shapes.py`` say the same."""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from typing_extensions import is_typeddict

from wayside.console import shapes

TYPES = Path(__file__).parents[2] / "console/src/api/types.ts"
SHAPES = {
    name: found
    for name, found in inspect.getmembers(shapes)
    if is_typeddict(found) and found.__module__ == shapes.__name__
}
TOKEN = re.compile(r'[A-Za-z_][\w]*\??|"[^"]*"|[{}\[\]()<>|:;,=]')
SCALARS = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


class Reader:
    """The little of TypeScript that the contract is written in, as plain data."""

    def __init__(self, text: str) -> None:
        plain = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        self.tokens = TOKEN.findall(plain)
        self.at = 0

    def interfaces(self) -> dict[str, Any]:
        found = {}
        while self.at < len(self.tokens):
            if self.take() == "interface":
                name = self.take()
                found[name] = self.object()
        return found

    def take(self, wanted: str = "") -> str:
        token: str = self.tokens[self.at]
        assert not wanted or token == wanted, f"{token!r} where {wanted!r} was expected"
        self.at += 1
        return token

    def object(self) -> dict[str, Any]:
        self.take("{")
        found = {}
        while self.tokens[self.at] != "}":
            name = self.take()
            self.take(":")
            found[name] = self.union()
            if self.tokens[self.at] in ";,":
                self.take()
        self.take("}")
        return found

    def union(self) -> Any:
        parts = [self.one()]
        while self.tokens[self.at] == "|":
            self.take()
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else ("any of", *sorted(parts, key=repr))

    def one(self) -> Any:
        if self.tokens[self.at] == "{":
            found: Any = self.object()
        elif self.tokens[self.at] == "(":
            self.take()
            found = self.union()
            self.take(")")
        else:
            found = self.take()
            if found == "Record":
                self.take("<")
                key = self.union()
                self.take(",")
                found = ("record", key, self.union())
                self.take(">")
        while self.tokens[self.at : self.at + 2] == ["[", "]"]:
            self.at += 2
            found = ("list", found)
        return found


INTERFACES = Reader(TYPES.read_text()).interfaces()


def told(hint: Any) -> Any:
    """A hint in the words of the contract."""
    if hint in SCALARS:
        return SCALARS[hint]
    if hint is Any:
        return "unknown"
    if is_typeddict(hint):
        if hint.__name__ in INTERFACES:
            return hint.__name__
        return {name: told(one) for name, one in get_type_hints(hint).items()}
    origin, args = get_origin(hint), get_args(hint)
    if origin is list:
        return ("list", told(args[0]))
    if origin is dict:
        return ("record", told(args[0]), told(args[1]))
    assert origin in (Union, types.UnionType), hint
    return ("any of", *sorted(map(told, args), key=repr))


@pytest.mark.parametrize("name", sorted(SHAPES.keys() & INTERFACES.keys()))
def test_pages_and_server_mean_the_same(name: str) -> None:
    hints = get_type_hints(SHAPES[name])
    assert {key: told(hint) for key, hint in hints.items()} == INTERFACES[name]


def test_every_answer_of_the_data_is_in_the_contract() -> None:
    ours = {
        *("Passed", "LiveState", "Overview", "LineMap", "Played", "Answered", "Models", "Costs"),
        *("CacheView", "CacheEntries", "Access", "Evaluation", "EvaluationChoices", "Replays"),
        *("Went", "Again"),
    }
    assert ours <= SHAPES.keys() & INTERFACES.keys()
