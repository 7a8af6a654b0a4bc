"""Reading the ledger: rows added up by whatever is asked, in the file's own words."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

MAX_GROUPS: Final = 10_000
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DAY: Final = "strftime('%Y-%m-%d', at, 'unixepoch')"
_HOUR: Final = "strftime('%Y-%m-%dT%H', at, 'unixepoch')"
BY: Final[Mapping[str, str]] = {
    "user": "user",
    "tier": "tier",
    "subscription": "subscription",
    "tenant": "tenant",
    "key": "key",
    "model": "executed_model",
    "requested": "requested_model",
    "decision": "decision",
    "status": "status",
    "path": "path",
    "shell": "shell",
    "day": _DAY,
    "hour": _HOUR,
}
"""What rows can be added up by. Days and hours are those of UTC."""
FILTERS: Final = ("user", "tier", "subscription", "tenant", "key", "model", "decision")
_SUMS: Final = (
    ("requests", "count(*)"),
    ("refused", "sum(status IN (403, 429))"),
    ("failed", "sum(status >= 400 AND status NOT IN (403, 429) OR status = 0 AND reason <> '')"),
    ("prompt_tokens", "sum(prompt_tokens)"),
    ("cached_tokens", "sum(cached_tokens)"),
    ("written_tokens", "sum(written_tokens)"),
    ("completion_tokens", "sum(completion_tokens)"),
    ("reasoning_tokens", "sum(reasoning_tokens)"),
    ("charged_tokens", "sum(charged_tokens)"),
    ("unserved_tokens", "sum(unserved_tokens)"),
    ("saved_tokens", "sum(saved_tokens)"),
    ("calls", "sum(calls)"),
    ("retries", "sum(retries)"),
    ("cost", "round(sum(cost), 9)"),
)
FIGURES: Final = tuple(name for name, _ in _SUMS)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """``by`` are names of :data:`BY`. ``since`` and ``until`` are Unix seconds, the latter not
    included. ``where`` are exact values of :data:`FILTERS`."""

    by: tuple[str, ...] = ("user",)
    since: float | None = None
    until: float | None = None
    where: Mapping[str, str] = {}
    limit: int = MAX_GROUPS


def moment(said: str, now: float) -> float:
    """``24h`` before ``now``, or a date or time (of UTC, unless it says otherwise), as Unix
    seconds. Raises ``ValueError`` that says what to write."""
    ago = re.fullmatch(r"([0-9]{1,6})([smhd])", said)
    if ago:
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise ValueError(
            f"{said[:64]!r} is no time; write 24h, 7d, 2026-08-01 or 2026-08-01T12:00"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def added_up(path: Path, question: Question) -> list[dict[str, Any]]:
    """The sums of each group, those with the most tokens first, or in the order of time. Costs in
    different currencies stand apart. Raises ``OSError`` where there is no file, ``sqlite3.Error``
    where it is no ledger, ``ValueError`` for a name that is not known."""
    for name in question.by:
        if name not in BY:
            raise ValueError(f"no {name!r} to add up by; one of {', '.join(BY)}")
    for name in question.where:
        if name not in FILTERS:
            raise ValueError(f"no {name!r} to choose by; one of {', '.join(FILTERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}")
    groups = [f"{BY[name]} AS {name}" for name in question.by]
    sums = [f"{text} AS {name}" for name, text in _SUMS]
    where, values = _where(question)
    times = [name for name in question.by if name in ("day", "hour")]
    # Rows that cost nothing have whatever currency, and none of their own.
    keys = [BY[name] for name in question.by]
    most = "sum(prompt_tokens + completion_tokens) DESC"
    order = ", ".join([*times, most, "count(*) DESC", *keys, "currency"])
    grouped = f" GROUP BY {', '.join([*keys, 'currency'])}"
    text = (
        f"SELECT {', '.join([*groups, *sums, 'currency'])} FROM usage{where}{grouped} "
        f"ORDER BY {order} LIMIT ?"
    )
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
    try:
        found = db.execute(text, (*values, question.limit))
        names = [column[0] for column in found.description]
        return merged([dict(zip(names, row, strict=True)) for row in found], question.by)
    finally:
        db.close()


def _where(question: Question) -> tuple[str, Sequence[Any]]:
    parts, values = [], []
    for text, value in (("at >= ?", question.since), ("at < ?", question.until)):
        if value is not None:
            parts.append(text)
            values.append(value)
    for name, chosen in question.where.items():
        parts.append(f"{BY[name]} = ?")
        values.append(chosen)  # type: ignore[arg-type]
    return (" WHERE " + " AND ".join(parts) if parts else ""), values


def merged(rows: list[dict[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the same group, but for those that cost in another currency: what cost nothing goes
    with what did."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    currencies: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        group = tuple([row[name] for name in by])
        currencies.setdefault(group, set()).add(row["currency"])
    for row in rows:
        group = tuple([row[name] for name in by])
        named = sorted(currencies[group] - {""})
        currency = row["currency"] or (named[0] if named else "")
        at = (*group, currency)
        if at not in found:
            found[at] = {**row, "currency": currency}
            continue
        for name in FIGURES:
            found[at][name] = round(found[at][name] + row[name], 9)
    return list(found.values())


def total(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All of them together, one line for each currency."""
    return merged([{**row} for row in rows], ())
