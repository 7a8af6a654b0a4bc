"""Lengths of time as Go writes them, which is how clients of Models-as-a-Service do: ``10m`` goes
in, ``10m0s`` comes out. Everything is counted in nanoseconds, as there."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

NS: Final = 1
US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
MOST: Final = (1 << 63) - 1
_UNITS: Final = {
    "ns": NS, "us": US, "µs": US, "μs": US, "ms": MS, "s": SECOND, "m": MINUTE, "h": HOUR,
}  # fmt: skip
_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]*))?")
_UNIT = re.compile(r"[^.0-9]*")
_LONGEST = 64
"""Characters of a duration; also of what errors repeat of it."""


def parse(text: str) -> int:
    """Nanoseconds of ``text`` (``1h30m``, ``1.5s``, ``-2ms``). Raises ``ValueError`` with the
    words of Go's ``time.ParseDuration``."""
    shown = _quoted(text)
    invalid = ValueError(f"time: invalid duration {shown}")
    if len(text) > _LONGEST:
        raise invalid
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise invalid
    total = 0
    while rest:
        match = _NUMBER.match(rest)
        assert match is not None  # it also matches nothing
        whole, part = match[1], match[2] or ""
        if not (whole or part):
            raise invalid
        rest = rest[match.end() :]
        unit = _UNIT.match(rest)
        assert unit is not None
        name, rest = unit[0], rest[unit.end() :]
        if not name:
            raise ValueError(f"time: missing unit in duration {shown}")
        if name not in _UNITS:
            raise ValueError(f"time: unknown unit {_quoted(name)} in duration {shown}")
        total += int(Decimal(f"{whole or 0}.{part or 0}") * _UNITS[name])
        if total > MOST:
            raise invalid
    return -total if text[0] == "-" else total


def read(value: Any) -> int:
    """Nanoseconds of what a client's JSON says: a text as :func:`parse` takes it, or a number of
    seconds. Raises ``ValueError``."""
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("invalid duration")  # noqa: TRY004 - of what a client sent
    if not -MOST / SECOND < value < MOST / SECOND:  # also false for what is not a number
        raise ValueError("invalid duration")
    return int(value * SECOND)


def text(ns: int) -> str:
    """As Go's ``Duration.String``: ``10m0s``, ``1.5s``, ``0s``."""
    if ns == 0:
        return "0s"
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns < SECOND:
        for unit, size in (("ms", MS), ("µs", US)):
            if ns >= size:
                return f"{sign}{_decimal(ns, size)}{unit}"
        return f"{sign}{ns}ns"
    minutes, left = divmod(ns, MINUTE)
    seconds = f"{_decimal(left, SECOND)}s"
    if not minutes:
        return f"{sign}{seconds}"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h{minutes}m{seconds}" if hours else f"{sign}{minutes}m{seconds}"


def _decimal(ns: int, unit: int) -> str:
    whole, part = divmod(ns, unit)
    digits = str(part).rjust(len(str(unit)) - 1, "0").rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _quoted(text: str) -> str:
    """Between double quotes, on one line, of bounded length."""
    plain = text[:_LONGEST].encode("unicode_escape").decode()
    return '"{}"'.format(plain.replace('"', '\\"'))
