"""Prometheus's text format, only as far as a few gauges need it: families by name, their samples.

A model server's page is some 2,000 lines of histograms, read several times a second, so nothing
is looked at but what was asked for. Whatever is not understood is left out; nothing raises.
Format: https://prometheus.io/docs/instrumenting/exposition_formats (text, version 0.0.4).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

MAX_LINE = 16 << 10
"""Longer lines are left out."""
MANY = 4096
"""Families of a page, and samples of a family, that are read; servers have some hundreds."""
_LINES = 1 << 15
_TYPE = b"\n# TYPE "
_LABEL = re.compile(rb'[\s,]*+([a-zA-Z_][a-zA-Z0-9_]*+)\s*+=\s*+"((?:[^"\\]|\\.)*+)"', re.DOTALL)
# Nothing is gone back over (*+): what a server writes is read once, whatever it writes.
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
    first, *pieces = page.split(_TYPE, MANY)
    if first.startswith(_TYPE[1:]):
        pieces.append(first[len(_TYPE) - 1 :])
    for piece in pieces:
        name = piece[: piece.find(b" ")]
        if name in wanted:
            _gather(found.setdefault(name, []), piece.split(b"\n", _LINES)[:_LINES], name)
    if found:
        return found
    for line in page.split(b"\n", _LINES)[:_LINES]:
        end = _name_end(line)
        if end > 0 and line[:end] in wanted:
            _gather(found.setdefault(line[:end], []), (line,), line[:end])
    return found


def _gather(samples: list[Sample], lines: Collection[bytes], name: bytes) -> None:
    samples += islice(_samples(lines, name), MANY - len(samples))


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
    """Names and values of ``a="1",b="2"`` up to what is none, escapes resolved."""
    found: dict[str, str] = {}
    at = _LABEL.match(raw)
    while at is not None:
        found[at[1].decode("ascii")] = _plain(at[2].decode("utf-8", "replace"))
        at = _LABEL.match(raw, at.end())
    return MappingProxyType(found)


def _plain(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], value)
