"""A cluster that stands still: what keepers are asked about in their unit tests.

It satisfies :class:`wayside.resources.World`, and remembers what was looked at, as the operator
does, so that a test can say that a keeper will be asked again when a thing appears.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from wayside.resources import Object, Probe, Probed, State
from wayside.vocab.resource import Resource, resource_of

Look = tuple[Any, ...]
"""``("get", resource, namespace, name)``, ``("all", resource, namespace or None)``,
``("state", resource)``, ``("probe", url)`` or ``("setting", name)``."""


class FakeWorld:
    """Holds the objects it is given, and says about everything else that it is not there.

    ``objects``: whole objects with ``apiVersion``, ``kind`` and ``metadata``, of kinds that we
    make; others by :meth:`put` or ``at``, with the resource that they are kept in. ``states``: of
    kinds that are not ``synced``; objects of a kind that is ``absent`` or ``forbidden`` are not
    seen. ``probes``: answers by URL. ``settings``: of the program.

        world = FakeWorld(service, probes={url: Probed(healthy=True, status=200)})
        world.put(KSERVE_SERVICES, {"metadata": {"name": "llama", "namespace": "ns"}})
        keeper.desired(found, world)
        assert ("get", SERVICES, "ns", "llama-predictor") in world.looks
    """

    def __init__(
        self,
        *objects: Object,
        at: Mapping[Resource, Sequence[Object]] | None = None,
        states: Mapping[Resource, State] | None = None,
        probes: Mapping[str, Probed | None] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.states: dict[Resource, State] = dict(states or {})
        self.probes: dict[str, Probed | None] = dict(probes or {})
        self.settings = dict(settings or {})
        self.looks: list[Look] = []
        self.asked: list[Probe] = []
        """Probes as they were asked for, with their periods."""
        self._objects: dict[tuple[Resource, str, str], Object] = {}
        for found in objects:
            self.put(resource_of(found), found)
        for resource, several in (at or {}).items():
            for found in several:
                self.put(resource, found)

    def put(self, resource: Resource, found: Object) -> None:
        """Add or replace an object. It is copied: what a keeper changes is seen by nobody."""
        meta = found["metadata"]
        namespace = meta.get("namespace", "") if resource.namespaced else ""
        self._objects[resource, namespace, meta["name"]] = copy.deepcopy(found)

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        del self._objects[resource, namespace, name]

    # --- World ---------------------------------------------------------------------------------

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        self.looks.append(("get", resource, namespace, name))
        if not self._seen(resource):
            return None
        return self._objects.get((resource, namespace if resource.namespaced else "", name))

    def all(
        self,
        resource: Resource,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Sequence[Object]:
        self.looks.append(("all", resource, namespace))
        if not self._seen(resource):
            return []
        wanted = dict(labels or {}).items()
        return [
            found
            for (of, where, _), found in sorted(
                self._objects.items(), key=lambda entry: entry[0][1:]
            )
            if of == resource
            and (namespace is None or where == namespace)
            and wanted <= dict(found["metadata"].get("labels") or {}).items()
        ]

    def state(self, resource: Resource) -> State:
        self.looks.append(("state", resource))
        return self.states.get(resource, "synced")

    def probe(self, probe: Probe) -> Probed | None:
        self.looks.append(("probe", probe.url))
        self.asked.append(probe)
        return self.probes.get(probe.url)

    def setting(self, name: str) -> str:
        self.looks.append(("setting", name))
        return self.settings.get(name, "")

    def _seen(self, resource: Resource) -> bool:
        return self.states.get(resource, "synced") in ("synced", "unreachable")
