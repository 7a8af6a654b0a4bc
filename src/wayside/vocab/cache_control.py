"""What a client says about a cache in a request's headers.

Sources: RFC 9111, 5.2.1 (``cache-control`` of a request); spec 1.4 (``x-vsr-cache-control``).
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Literal, NamedTuple, get_args

Directive = Literal["no-cache", "no-store", "bypass", "max-age", "ttl"]
"""Do not answer from the cache; do not keep the answer; neither; answer with nothing older than
so many seconds; keep the answer for so many seconds."""

_KNOWN: tuple[str, ...] = get_args(Directive)
_STANDARD = ("no-cache", "no-store", "max-age")
"""What of ``cache-control`` is read; the rest is for caches on the way."""
_TIMED = ("max-age", "ttl")
_READ = 1_024
"""Characters of a header that are read."""


class Controls(NamedTuple):
    """What a client wants of a cache. ``ignored``: what it said that is not followed."""

    read: bool = True
    write: bool = True
    max_age_s: float | None = None
    ttl_s: float | None = None
    ignored: tuple[str, ...] = ()


def read_controls(own: str, standard: str, allowed: Container[str], max_ttl_s: float) -> Controls:
    """What the two headers say together: of two ages the smaller, of two lives the last.

    A directive that is not ``allowed``, not known, or without the number it needs is not followed.
    """
    found = Controls()
    ignored: dict[str, None] = {}
    for word, value in _directives(own, standard):
        seconds = _seconds(value)
        if word not in _KNOWN or word not in allowed or (word in _TIMED) != (seconds is not None):
            ignored[word if word in _KNOWN else "unknown"] = None
        elif word == "max-age":
            age = float(seconds or 0)
            least = age if found.max_age_s is None else min(age, found.max_age_s)
            found = found._replace(max_age_s=least)
        elif word == "ttl" and seconds:
            found = found._replace(ttl_s=min(float(seconds), max_ttl_s))
        else:  # kept for no time is not kept
            reads = word not in ("no-cache", "bypass")
            writes = word == "no-cache"
            found = found._replace(read=found.read and reads, write=found.write and writes)
    return found._replace(ignored=tuple(ignored))


def _directives(own: str, standard: str) -> Iterator[tuple[str, str]]:
    for text, ours in ((own, True), (standard, False)):
        for part in text[:_READ].split(","):
            word, _, value = part.strip().lower().partition("=")
            if word and (ours or word in _STANDARD):
                yield word.strip(), value.strip().strip('"')


def _seconds(value: str) -> int | None:
    """A delta of RFC 9111, 1.2.2; ``None`` where it is none, or longer than thirty years."""
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 10 else None
