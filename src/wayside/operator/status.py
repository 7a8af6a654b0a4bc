"""``status`` as it shall be, and the least patch that makes it so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wayside.operator.fields import without_nulls
from wayside.resources import NOW, Condition, Desired, Object
from wayside.vocab.objects import section, sections


def wanted(found: Object, desired: Desired, now: str) -> tuple[Object, list[Condition]]:
    """The whole status, and the conditions in it that say something else than before.

    ``now`` (RFC 3339) is the ``lastTransitionTime`` of conditions whose ``status`` is another
    one; of the others it stays.
    """
    before = section(found, "status")
    generation = section(found, "metadata").get("generation", 0)
    status: Object = {k: v for k, v in before.items() if k not in desired.status}
    status |= without_nulls(desired.status)
    status["observedGeneration"] = generation
    was = {c.get("type"): c for c in sections(before.get("conditions"))}
    conditions, changed = [], []
    for condition in desired.conditions:
        old = was.get(condition.type, {})
        entry = {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": now,
        }
        if old.get("status") == condition.status and old.get("lastTransitionTime"):
            entry["lastTransitionTime"] = old["lastTransitionTime"]
        if any(old.get(k) != entry[k] for k in ("status", "reason", "message")):
            changed.append(condition)
        conditions.append(entry)
    if conditions or "conditions" in status:
        status["conditions"] = conditions
    for name in desired.status:
        if isinstance(items := status.get(name), list):
            status[name] = _timed(items, sections(before.get(name)), now)
    times = {name for name, value in desired.status.items() if value == NOW}
    others = (before.keys() | status.keys()) - times
    moves = any(before.get(name) != status.get(name) for name in others)
    for name in times:
        status[name] = now if moves or name not in before else before[name]
    return status, changed


def _timed(items: list[Any], before: Sequence[Mapping[str, Any]], now: str) -> list[Any]:
    """The items of a list with their times: of those that are as they were, the old ones."""
    was = {item.get("name"): item for item in before}
    made = []
    for item in items:
        times = [k for k, v in item.items() if v == NOW] if isinstance(item, dict) else []
        if times:
            old = was.get(item.get("name"), {})
            others = (old.keys() | item.keys()) - set(times)
            same = all(old.get(key) == item.get(key) for key in others)
            item = item | {key: old[key] if same and key in old else now for key in times}
        made.append(item)
    return made


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """The JSON merge patch (RFC 7396) that makes ``new`` of ``old``; empty for equal ones."""
    patch: Object = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            if below := difference(before, value):
                patch[name] = below
        elif value != before or type(value) is not type(before):
            patch[name] = value
    return patch
