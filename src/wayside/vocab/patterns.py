"""Patterns that users write, matched by RE2: linear time, no look-around, no back-references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import re2

from wayside.vocab.errors import ConfigError

_MAX_MEMORY = 8 << 20  # bytes per compiled pattern; RE2 refuses a pattern that needs more


def _options(case_sensitive: bool) -> Any:
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    return options


def compile_pattern(pattern: str, *, case_sensitive: bool = True, where: str = "") -> Any:
    """A compiled RE2 pattern (``.search``, ``.finditer``), or a :class:`ConfigError`."""
    try:
        return re2.compile(pattern, _options(case_sensitive))
    except re2.error as error:
        raise _refused(pattern, error, where) from None


def compile_set(patterns: Sequence[str], *, case_sensitive: bool = True, where: str = "") -> Any:
    """One automaton over all ``patterns``; ``.Match(text)`` lists the indexes that matched."""
    together = re2.Set.SearchSet(_options(case_sensitive))
    for pattern in patterns:
        try:
            together.Add(pattern)
        except re2.error as error:
            raise _refused(pattern, error, where) from None
    together.Compile()
    return together


def _refused(pattern: str, error: Exception, where: str) -> ConfigError:
    reason = error.args[0] if error.args else error
    if isinstance(reason, bytes):
        reason = reason.decode("utf-8", "replace")
    return ConfigError.one(
        f"pattern {pattern!r} does not compile: {reason}",
        where=where,
        fix="patterns are RE2 (https://github.com/google/re2/wiki/Syntax): "
        "no look-around, no back-references",
    )
