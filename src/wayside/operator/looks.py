"""What each object's ``desired`` looked at, so that it is asked again when that changes.

There is no other wiring from foreign objects to ours: a look at what is not there is remembered
like any other, and what appears later is told to those who missed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from wayside.kube.cache import Cache, Held
from wayside.resources import Object, Probe, Probed, State
from wayside.vocab.objects import section
from wayside.vocab.resource import Resource

Name = tuple[str, str]
"""Namespace and name of an object."""
Look = tuple[Resource, str, str]
"""A kind, a namespace and a name. ``"*"`` for the name is all of a namespace, for both the whole
kind; ``"?"`` for both is the kind's state. ``"*app=x"`` for the name: those of ``"*"`` with that
label (no object's name begins with an asterisk)."""
MAX_LOOKS: Final = 2_000
"""Of one call; one that looks at more is asked again at any change of the kinds it looked at."""
MAX_PROBES: Final = 500
"""Of one call; further URLs have no answer."""
Asker = tuple[str, str, str]
"""Who looks: a kind, a namespace and a name."""


class Answers(Protocol):
    """What probes found, by probe."""

    def answer(self, probe: Probe) -> Probed | None: ...


def all_of(resource: Resource) -> Look:
    return (resource, "*", "*")


def _those(labels: Mapping[str, str]) -> str:
    """Objects with the rarest of ``labels``, as far as one can tell: that with the longest value.
    Who looks is told of a few too many, and never of one too few."""
    if not labels:
        return "*"
    name = max(labels, key=lambda name: (len(labels[name]), name))
    return f"*{name}={labels[name]}"


def those_of(found: Mapping[str, Any] | None) -> list[str]:
    """The names in looks at several objects that ``found`` is one of."""
    labels = section(found, "metadata", "labels")
    return ["*", *(f"*{name}={value}" for name, value in labels.items())]


def state_of(resource: Resource) -> Look:
    return (resource, "?", "?")


@dataclass(slots=True)
class Seen:
    """The :class:`wayside.resources.World` of one call. Every look is in :attr:`looks`."""

    cache: Cache
    answers: Answers
    settings: Mapping[str, str]
    looks: set[Look] = field(default_factory=set)
    probes: set[Probe] = field(default_factory=set)
    _elsewhere: dict[Resource, set[str]] = field(default_factory=dict)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        namespace = namespace if resource.namespaced else ""
        if not name or (resource.namespaced and not namespace):
            return None  # there is no such object, and never will be
        self._look((resource, namespace, name))
        copy = self.cache.copy(resource, namespace)
        if copy is None or copy.known not in ("synced", "unreachable"):
            return None
        return copy.get((namespace, name))

    def all(
        self,
        resource: Resource,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Sequence[Object]:
        where = namespace if resource.namespaced else None
        self._look((resource, "*" if where is None else where, _those(labels or {})))
        copy = self.cache.copy(resource, where)
        if copy is None or copy.known not in ("synced", "unreachable"):
            return []
        return list(copy.all(where, labels or {}))

    def state(self, resource: Resource) -> State:
        """The worst state of the namespaces that this call looked at, where each is followed by
        itself."""
        self._look(state_of(resource))
        found: State = "synced"
        for namespace in (None, *self._elsewhere.get(resource, ())):
            copy = self.cache.copy(resource, namespace)
            state: State = "forbidden" if copy is None else copy.known
            found = state if found == "synced" else found
        return found

    def probe(self, probe: Probe) -> Probed | None:
        if len(self.probes) >= MAX_PROBES:
            return None
        self.probes.add(probe)
        return self.answers.answer(probe)

    def setting(self, name: str) -> str:
        return self.settings.get(name, "")

    def _look(self, look: Look) -> None:
        resource, namespace, _ = look
        if self.cache.namespace not in (None, namespace) and namespace not in ("", "*", "?"):
            self._elsewhere.setdefault(resource, set()).add(namespace)
        self.looks.add(look if len(self.looks) < MAX_LOOKS else all_of(resource))


def glance(cache: Cache, looks: Iterable[Look]) -> int:
    """A number for what is there to be seen: another one as soon as any of it changes."""
    seen: list[object] = []
    for resource, namespace, name in looks:
        if name == "?":
            seen.append(tuple(c.known for c in cache.copies() if c.resource == resource))
            continue
        copy = cache.copy(resource, None if namespace == "*" else namespace)
        if copy is None:
            seen.append(None)
        elif name == "*":
            seen.append((copy.known, copy.changes))
        elif name[:1] == "*":
            label, _, value = name[1:].partition("=")
            keys = sorted(copy.having(label, value))
            seen.append((copy.known, *((key, copy.store[key].version) for key in keys)))
        else:
            held = copy.store.get((namespace, name))
            seen.append((copy.known, None if held is None else (held.uid, held.version)))
    return hash(tuple(seen))


class Lookers:
    """Who looked at what."""

    def __init__(self) -> None:
        self._looks: dict[Asker, frozenset[Look]] = {}
        self._who: dict[Look, Asker | set[Asker]] = {}
        self._labels: Counter[tuple[Resource, str]] = Counter()

    def __len__(self) -> int:
        return len(self._looks)

    def remember(self, asker: Asker, looks: Iterable[Look]) -> None:
        """What ``asker`` looked at the last time; nothing forgets it."""
        new = frozenset(looks)
        old = self._looks.get(asker, frozenset())
        if new == old:
            return
        for look in old - new:
            self._count(look, -1)
            who = self._who[look]
            if isinstance(who, set):
                who.discard(asker)
            if who == asker or not who:
                del self._who[look]
        for look in new - old:
            self._count(look, 1)
            who = self._who.setdefault(look, asker)
            if isinstance(who, set):
                who.add(asker)
            elif who != asker:
                self._who[look] = {who, asker}
        if new:
            self._looks[asker] = new
        else:
            self._looks.pop(asker, None)

    def looks(self, asker: Asker) -> Iterable[Look]:
        """What it looked at, in an order that lasts until something else is remembered."""
        return self._looks.get(asker, ())

    def of(self, resource: Resource, namespace: str, name: str, *were: Held | None) -> set[Asker]:
        """Who looked at this object, at its namespace, or at all of its kind; or at those with a
        label that it has in one of its states (what it ``were``)."""
        found: set[Asker] = set()
        for look in ((resource, namespace, name), (resource, namespace, "*"), all_of(resource)):
            self._gather(look, found)
        if any(of == resource for of, _ in self._labels):
            for held in were:
                for label, value in (held.labels() if held is not None else {}).items():
                    if (resource, label) in self._labels:
                        self._gather((resource, namespace, f"*{label}={value}"), found)
                        self._gather((resource, "*", f"*{label}={value}"), found)
        return found

    def of_state(self, resource: Resource) -> set[Asker]:
        found: set[Asker] = set()
        self._gather(state_of(resource), found)
        return found

    def _count(self, look: Look, more: int) -> None:
        """Which labels of a kind somebody looked at."""
        if look[2][:1] == "*" and look[2] != "*":
            label = (look[0], look[2][1:].partition("=")[0])
            self._labels[label] += more
            if not self._labels[label]:
                del self._labels[label]

    def _gather(self, look: Look, found: set[Asker]) -> None:
        who = self._who.get(look)
        if isinstance(who, set):
            found |= who
        elif who is not None:
            found.add(who)
