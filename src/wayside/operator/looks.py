"""What each object's ``desired`` looked at, so that it is asked again when that changes.

There is no other wiring from foreign objects to ours: a look at what is not there is remembered
like any other, and what appears later is told to those who missed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from wayside.kube.cache import Cache
from wayside.resources import Object, Probe, Probed, State
from wayside.vocab.resource import Resource

Name = tuple[str, str]
"""Namespace and name of an object."""
Look = tuple[Resource, str, str]
"""A kind, a namespace and a name. ``"*"`` for the name is all of a namespace, for both the whole
kind; ``"?"`` for both is the kind's state."""
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
        self._look(all_of(resource) if where is None else (resource, where, "*"))
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


class Lookers:
    """Who looked at what."""

    def __init__(self) -> None:
        self._looks: dict[Asker, frozenset[Look]] = {}
        self._who: dict[Look, Asker | set[Asker]] = {}

    def __len__(self) -> int:
        return len(self._looks)

    def remember(self, asker: Asker, looks: Iterable[Look]) -> None:
        """What ``asker`` looked at the last time; nothing forgets it."""
        new = frozenset(looks)
        old = self._looks.get(asker, frozenset())
        if new == old:
            return
        for look in old - new:
            who = self._who[look]
            if isinstance(who, set):
                who.discard(asker)
            if who == asker or not who:
                del self._who[look]
        for look in new - old:
            who = self._who.setdefault(look, asker)
            if isinstance(who, set):
                who.add(asker)
            elif who != asker:
                self._who[look] = {who, asker}
        if new:
            self._looks[asker] = new
        else:
            self._looks.pop(asker, None)

    def of(self, resource: Resource, namespace: str, name: str) -> set[Asker]:
        """Who looked at this object, at its namespace, or at all of its kind."""
        found: set[Asker] = set()
        for look in ((resource, namespace, name), (resource, namespace, "*"), all_of(resource)):
            self._gather(look, found)
        return found

    def of_state(self, resource: Resource) -> set[Asker]:
        found: set[Asker] = set()
        self._gather(state_of(resource), found)
        return found

    def _gather(self, look: Look, found: set[Asker]) -> None:
        who = self._who.get(look)
        if isinstance(who, set):
            found |= who
        elif who is not None:
            found.add(who)
