"""Copies of many kinds of objects, shared by all who look at them, and what we wrote ourselves.

One reflector for each kind and namespace. Objects are kept as JSON, long ones packed, at a tenth
of the memory that dictionaries take, and read anew at each look. A write's answer is learnt at
once, so that nobody has to wait for the watch to tell it, and what the watch tells of earlier
times is passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Final
from zlib import compress, decompress

import msgspec

from wayside.kube.client import Client, Object
from wayside.kube.pace import Pace
from wayside.kube.watch import Key, Log, Reflector, State
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import CRDS, Resource

PACE: Final = Pace(refused_first_s=1.0, refused_longest_s=30.0)
MAX_COPIES: Final = 256
"""Kinds times namespaces that are followed; more are not looked at."""
BELIEVED_S: Final = 60.0
"""A write that the watch has not told of after so long is not held against it any more."""
PACKED: Final = 2_000
"""Bytes of JSON from which on an object is packed: to a fifth, in some 50 us for 10 KB."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Object).decode


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labels(msgspec.Struct):
    metadata: _Meta


_labels = msgspec.json.Decoder(_Labels).decode


class Held(msgspec.Struct, frozen=True, gc=False):
    """An object, as it is kept."""

    version: str
    uid: str
    owner: str
    """The uid of its controlling owner; empty for none."""
    packed: bytes
    """Its JSON; in zlib's format where it is long."""

    @classmethod
    def of(cls, found: Object) -> Held:
        meta, raw = found["metadata"], _encode(found)
        if len(raw) > PACKED:
            raw = compress(raw, 1)
        version, uid = text(meta.get("resourceVersion")), text(meta.get("uid"))
        return cls(version, uid, owner_of(found), raw)

    def raw(self) -> bytes:
        return self.packed if self.packed[:1] == b"{" else decompress(self.packed)

    def object(self) -> Object:
        return _decode(self.raw())

    def labels(self) -> Mapping[str, Any]:
        """The object's labels; nothing else of it is read."""
        try:
            return _labels(self.raw()).metadata.labels or {}
        except msgspec.ValidationError:  # no object of Kubernetes'
            return {}


def owner_of(found: Mapping[str, Any]) -> str:
    """The uid of an object's controlling owner; empty for none."""
    for reference in sections(section(found, "metadata").get("ownerReferences")):
        if reference.get("controller") is True:
            return text(reference.get("uid"))
    return ""


Scope = tuple[Resource, str | None]
Changed = Callable[[Resource, Key, Held | None, Held | None], None]
"""A kind, an object's key, and what it was and is: called when an object is another one."""


class Labelled:
    """Which objects have which value of the labels that were asked for."""

    def __init__(self) -> None:
        self._having: dict[str, dict[str, set[Key]]] = {}

    def knows(self, name: str) -> bool:
        return name in self._having

    def learn(self, name: str, store: Mapping[Key, Held]) -> None:
        """Know label ``name`` from now on."""
        self._having[name] = {}
        for key, held in store.items():
            self._add(name, held.labels(), key)

    def having(self, name: str, value: str) -> Set[Key]:
        return self._having[name].get(value, frozenset())

    def changed(self, key: Key, old: Held | None, new: Held | None) -> None:
        if not self._having:
            return
        before, after = (held.labels() if held is not None else {} for held in (old, new))
        for name, having in self._having.items():
            value = before.get(name)
            if value == after.get(name):
                continue
            if value is not None and value in having:
                having[value].discard(key)
                if not having[value]:
                    del having[value]
            self._add(name, after, key)

    def _add(self, name: str, labels: Mapping[str, Any], key: Key) -> None:
        if (value := labels.get(name)) is not None:
            self._having[name].setdefault(value, set()).add(key)


class Copy(Reflector[Held]):
    """The objects of one kind, in one namespace or all."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str | None,
        *,
        manager: str,
        changed: Changed,
        told: Callable[[Resource], None],
        log: Log | None = None,
        pace: Pace = PACE,
    ) -> None:
        """Of ``metadata.managedFields`` only the entry of ``manager`` is kept. ``told`` hears of
        changes of :attr:`state`."""
        super().__init__(
            client,
            resource,
            self._held,
            namespace=namespace,
            changed=lambda key, old, new: changed(resource, key, old, new),
            log=log,
            pace=pace,
        )
        self._manager, self._told = manager, told
        self._learnt: dict[Key, tuple[int, float]] = {}
        self._at = 0
        self._labelled = Labelled()
        self.changes = 0
        """Grows with each change of any object."""

    @property
    def known(self) -> State:
        """As :attr:`state`; ``synced`` as soon as everything has been listed."""
        listed = self.state == "starting" and self.synced.is_set()
        return "synced" if listed else self.state

    def get(self, key: Key) -> Object | None:
        held = self.store.get(key)
        return None if held is None else held.object()

    def all(self, namespace: str | None, labels: Mapping[str, str]) -> Iterator[Object]:
        """Objects with these labels, by namespace and name. Those that have one of the labels
        are known: the first that asks for a label reads all objects, and nobody after it."""
        keys: Set[Key] = self.store.keys()
        for name, value in labels.items():
            keys = min(keys, self.having(name, value), key=len)
        for key in sorted(k for k in keys if namespace is None or k[0] == namespace):
            found = self.store[key].object()
            if not labels or labels.items() <= section(found, "metadata", "labels").items():
                yield found

    def having(self, label: str, value: str) -> Set[Key]:
        """The objects with this label, of any namespace."""
        if not self._labelled.knows(label):
            self._labelled.learn(label, self.store)
        return self._labelled.having(label, value)

    def learn(self, found: Object) -> None:
        """``found`` is what the server answered to a write, or to a GET."""
        meta = section(found, "metadata")
        key = (text(meta.get("namespace")), text(meta.get("name")))
        version, held = _number(text(meta.get("resourceVersion"))), self.store.get(key)
        old = _number(held.version) if held is not None else 0
        if version <= max(old, self._at) or self.known not in ("synced", "unreachable"):
            return  # the watch has told as much already, or would not tell what comes next
        self._learnt.pop(key, None)
        self._put(key, self._held(found))
        self._learnt[key] = (version, asyncio.get_running_loop().time())

    def forget(self, key: Key) -> None:
        """The server says that there is no such object."""
        self._learnt.pop(key, None)
        self._put(key, None)

    def _held(self, found: Object) -> Held:
        meta = found["metadata"]
        ours = [
            entry
            for entry in meta.pop("managedFields", ())
            if entry.get("manager") == self._manager and entry.get("operation") == "Apply"
        ]
        if ours:
            meta["managedFields"] = ours
        return Held.of(found)

    def _reached(self, version: str) -> None:
        self._at = _number(version)
        if self._learnt:
            old = asyncio.get_running_loop().time() - BELIEVED_S
            for key, (learnt, at) in list(self._learnt.items()):
                if learnt <= self._at or at < old:
                    del self._learnt[key]

    def _put(self, key: Key, new: Held | None) -> None:
        if key not in self._learnt:
            self.changes += 1
            self._labelled.changed(key, self.store.get(key), new)
            super()._put(key, new)

    def _say(self, state: State, problem: str) -> None:
        before = self.state
        super()._say(state, problem)
        if state != before:
            self._told(self.resource)


class Cache:
    """Copies of the kinds that were looked at, made when first asked for.

    In ``namespace``, or in all (``None``). A look at another namespace than ours starts a copy of
    that one, which our Role may or may not let us see.
    """

    def __init__(
        self,
        client: Client,
        *,
        manager: str,
        namespace: str | None = None,
        changed: Changed,
        told: Callable[[Resource], None],
        log: Log | None = None,
        pace: Pace = PACE,
    ) -> None:
        self.client, self.namespace = client, namespace
        self._manager, self._log, self._pace = manager, log, pace
        self._changed, self._told = changed, told
        self._copies: dict[Scope, Copy] = {}
        self._tasks: dict[Scope, asyncio.Task[None]] = {}
        self._running = False

    async def run(self) -> None:
        """Keep everything up to date until cancelled; raises what a copy dies of."""
        self._running = True
        try:
            for scope, copy in self._copies.items():
                self._tasks[scope] = asyncio.create_task(copy.run())
            await self._crds()
        finally:
            self._running = False
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    def copy(self, resource: Resource, namespace: str | None = None) -> Copy | None:
        """The copy in which objects of ``namespace`` are; ``None`` where too many are followed."""
        scope = (resource, self._scope(resource, namespace))
        copy = self._copies.get(scope)
        if copy is None and len(self._copies) < MAX_COPIES:
            copy = self._copies[scope] = Copy(
                self.client,
                resource,
                scope[1],
                manager=self._manager,
                changed=self._changed,
                told=self._told,
                log=self._log,
                pace=self._pace,
            )
            if self._running:
                self._tasks[scope] = asyncio.create_task(copy.run())
        return copy

    def copies(self) -> Iterator[Copy]:
        yield from self._copies.values()

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        copy = self.copy(resource, namespace)
        return copy.get((namespace, name)) if copy is not None else None

    def learn(self, resource: Resource, found: Object) -> None:
        copy = self.copy(resource, text(section(found, "metadata").get("namespace")))
        if copy is not None:
            copy.learn(found)

    def forget(self, resource: Resource, namespace: str, name: str) -> None:
        copy = self.copy(resource, namespace)
        if copy is not None:
            copy.forget((namespace, name))

    def _scope(self, resource: Resource, namespace: str | None) -> str | None:
        if self.namespace is None or not resource.namespaced:
            return None
        return namespace or self.namespace

    async def _crds(self) -> None:
        """Look at kinds that are absent as soon as their CRD comes, where we may see CRDs; each
        looks by itself now and then in any case."""
        client = Client(self.client.access, timeout_s=self.client.timeout_s, partial=True)
        known: Reflector[str] = Reflector(
            client,
            CRDS,
            lambda found: text(section(found, "metadata").get("resourceVersion")),
            changed=lambda key, old, new: self._hurry(key[1]),
            pace=Pace(refused_longest_s=300.0),
        )
        try:
            await known.run()
        finally:
            client.close()

    def _hurry(self, crd: str) -> None:
        for copy in self._copies.values():
            if f"{copy.resource.plural}.{copy.resource.group}" == crd and copy.state == "absent":
                copy.hurry()


def _number(version: str) -> int:
    """Versions are numbers that grow (Kubernetes 1.35 made that a promise); 0 for others."""
    return int(version) if version.isascii() and version.isdigit() else 0
