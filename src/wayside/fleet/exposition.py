"""Prometheus's text format, only as far as a few gauges need it: families by name, their samples.

A model server's page is some 2,000 lines of histograms, read several times a second, so nothing
is looked at but what was asked for. Whatever is not understood is left out; nothing raises.
Format: https://prometheus.io/docs/instrumenting/exposition_formats (text, version 0.0.4).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

MAX_LINE = 16 << 10
"""Longer lines are left out."""
_TYPE = b"\n# TYPE "
_LABEL = re.compile(rb'([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")


class Sample(NamedTuple):
    """One line: ``raw`` is what stands between its braces."""

    raw: bytes
    value: float

    @property
    def labels(self) -> Mapping[str, str]:
        return labels(self.raw)


def families(page: bytes, wanted: Collection[bytes]) -> dict[bytes, list[Sample]]:
    """The finite samples of those families that are there.

    All lines of a family stand together, after its ``# TYPE`` where there is one. So the page is
    cut at those, which costs a quarter of looking at each line; only a page whose wanted families
    have none is read line by line.
    """
    if not page.endswith(b"\n"):  # every line ends with one: the last was cut short
        page = page[: page.rfind(b"\n") + 1]
    found: dict[bytes, list[Sample]] = {}
    first, *pieces = page.split(_TYPE)
    if first.startswith(_TYPE[1:]):
        pieces.append(first[len(_TYPE) - 1 :])
    for piece in pieces:
        name = piece[: piece.find(b" ")]
        if name in wanted:
            found[name] = found.get(name, []) + list(_samples(piece.split(b"\n"), name))
    if found:
        return found
    for line in page.split(b"\n"):
        end = _name_end(line)
        if end > 0 and line[:end] in wanted:
            found.setdefault(line[:end], []).extend(_samples((line,), line[:end]))
    return found


def _name_end(line: bytes) -> int:
    brace, space = line.find(b"{"), line.find(b" ")
    return brace if 0 <= brace < space or space < 0 else space


def _samples(lines: Collection[bytes], name: bytes) -> Iterator[Sample]:
    size = len(name)
    for line in lines:
        if len(line) > MAX_LINE or not line.startswith(name):
            continue
        rest = line[size:]
        if rest[:1] == b"{":
            end = rest.rfind(b"}")  # a label's value may hold one
            raw, number = rest[1:end], rest[end + 1 :]
            if end < 0:
                continue
        elif rest[:1] in (b" ", b"\t"):
            raw, number = b"", rest
        else:
            continue
        try:
            value = float(number.split(None, 1)[0])  # a timestamp may follow
        except (ValueError, IndexError):
            continue
        if isfinite(value):
            yield Sample(raw, value)


@lru_cache(maxsize=1024)  # a server says the same of its cache in each of its pages
def labels(raw: bytes) -> Mapping[str, str]:
    """Names and values of ``a="1",b="2"``, escapes resolved."""
    return MappingProxyType(
        {
            name.decode("ascii"): _plain(value.decode("utf-8", "replace"))
            for name, value in _LABEL.findall(raw)
        }
    )


def _plain(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], value)
