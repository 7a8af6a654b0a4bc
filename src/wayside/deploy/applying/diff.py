"""What is different between two versions of an object, field by field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_SERVERS: Final = frozenset({
    "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds",
})  # fmt: skip
"""Fields of ``metadata`` that are the server's."""
_KEYS: Final = ("name", "mountPath", "containerPort", "port", "type")
"""By what elements of lists are told apart, where each has a different one."""
_MOST: Final = 120
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field: ``+`` it comes, ``-`` it goes, ``~`` it is another."""

    op: str
    path: str
    before: Any = None
    after: Any = None

    def lines(self) -> list[str]:
        """For people; of longer texts only the lines that are different."""
        if isinstance(self.before, str) and isinstance(self.after, str) and "\n" in self.after:
            told = difflib.unified_diff(
                self.before.splitlines(), self.after.splitlines(), n=1, lineterm=""
            )
            return [f"~ {self.path}:", *(f"    {line}" for line in list(told)[2:])]
        if self.op == "+":
            return [f"+ {self.path}: {shown(self.after)}"]
        if self.op == "-":
            return [f"- {self.path}: {shown(self.before)}"]
        return [f"~ {self.path}: {shown(self.before)} -> {shown(self.after)}"]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What is different, but for ``status`` and what the server alone writes."""
    if "Secret" in (before.get("kind"), after.get("kind")):
        before, after = _hidden(before, after)
    return list(_mappings(_own(before), _own(after), ""))


def _hidden(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The same two, of Secrets' values no more than whether they differ. No target makes a Secret
    and none is read; should one ever come here, it is not shown."""
    made: list[dict[str, Any]] = [dict(before), dict(after)]
    for part in ("data", "stringData"):
        old, new = before.get(part) or {}, after.get(part) or {}
        for one, held, word in ((made[0], old, "(hidden)"), (made[1], new, "(another, hidden)")):
            if part in one:
                one[part] = {
                    key: "(hidden)" if old.get(key) == new.get(key) else word for key in held
                }
    return made[0], made[1]


def shown(value: Any) -> str:
    """A value in one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _own(found: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in found.get("metadata", {}).items() if k not in _SERVERS}
    return {**{k: v for k, v in found.items() if k != "status"}, "metadata": metadata}


def _mappings(before: Mapping[str, Any], after: Mapping[str, Any], at: str) -> Iterator[Change]:
    for key in sorted(before.keys() | after.keys()):
        where = f"{at}.{key}" if at else key
        if key not in after:
            yield Change("-", where, before[key])
        elif key not in before:
            yield Change("+", where, None, after[key])
        else:
            yield from _values(before[key], after[key], where)


def _values(before: Any, after: Any, at: str) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _mappings(before, after, at)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(before, after, at)
    else:
        yield Change("~", at, before, after)


def _lists(before: list[Any], after: list[Any], at: str) -> Iterator[Change]:
    key = next((k for k in _KEYS if _tells(before, k) and _tells(after, k)), None)
    if key is not None:
        old, new = ({str(one[key]): one for one in each} for each in (before, after))
    elif len(before) == len(after) and all(isinstance(e, Mapping) for e in [*before, *after]):
        old, new = ({str(i): one for i, one in enumerate(each)} for each in (before, after))
    else:
        yield Change("~", at, before, after)
        return
    found = False
    for name in [*old, *(n for n in new if n not in old)]:
        where = f"{at}[{name}]"
        if name not in new:
            yield Change("-", where, old[name])
        elif name not in old:
            yield Change("+", where, None, new[name])
        else:
            yield from _values(old[name], new[name], where)
            continue
        found = True
    if not found and list(old) != list(new):
        yield Change("~", f"{at} (order)", list(old), list(new))


def _tells(several: list[Any], key: str) -> bool:
    """Whether each element has its own value of ``key``."""
    values = [one.get(key) for one in several if isinstance(one, Mapping)]
    return len(values) == len(several) and None not in values and len(set(values)) == len(values)
