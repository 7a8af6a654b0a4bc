"""Writes YAML again with its comments: the only file that knows ``ruamel.yaml``."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

_KEY: Final = r"[^\s#-][^\n#]*:[ \t]*(?:#[^\n]*)?\n(?:[ \t]*(?:#[^\n]*)?\n)*"
_BELOW: Final = re.compile(rf"(?m)^{_KEY}( +)[^\s#-]")
_ITEMS: Final = re.compile(rf"(?m)^( *){_KEY}( *)-( +)\S")
_WORD: Final = re.compile(r"[\w.+:/=<~-]{1,64}")
"""What may be read as a number, a date, a boolean or nothing at all."""


def written(text: str, change: Callable[[Any, Callable[[Any], Any]], None]) -> str:
    """``text`` as ruamel writes it after ``change``, which gets the whole and a function that
    makes values to be put into it. Raises ``ValueError``, and whatever else ruamel trips over."""
    writer = YAML()
    writer.brace_single_entry_mapping_in_flow_sequence = True
    writer.preserve_quotes = True
    writer.width = 4096
    writer.allow_duplicate_keys = False
    writer.indent(**_indents(text))
    try:
        whole = writer.load(text)
        if whole is None:
            whole = {}
        change(whole, _value)
        out = io.StringIO()
        writer.dump(whole, out)
    except YAMLError as error:
        raise ValueError(type(error).__name__) from None
    return out.getvalue()


def _indents(text: str) -> dict[str, int]:
    """How the file indents what is below a key, where that first happens."""
    mapping, items = _BELOW.search(text), _ITEMS.search(text)
    offset = max(0, len(items[2]) - len(items[1])) if items else 0
    return {
        "mapping": min(max(len(mapping[1]), 2), 8) if mapping else 2,
        "sequence": offset + 1 + len(items[3]) if items else 2,
        "offset": offset,
    }


def _value(value: Any) -> Any:
    """Text in quotes where our reader would take it for something else: ``no``, ``1:30``."""
    if isinstance(value, dict):
        return {_value(str(key)): _value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if "\n" in value and value.strip() and not value[0].isspace():
        lines = value.split("\n")
        if all(line.isprintable() and line == line.rstrip() for line in lines):
            return LiteralScalarString(value)
    plain = yaml.compose(f"- {value}", Loader=yaml.SafeLoader) if _WORD.fullmatch(value) else None
    word = plain is None or plain.value[0].tag == "tag:yaml.org,2002:str"
    return value if word and value else DoubleQuotedScalarString(value)
