"""A copy of a cluster's objects that is kept up to date: list once, then watch.

What client-go calls a reflector. It never ends by itself: a server that is away, a kind that is
not installed and a right that is missing are states, told once and looked at again every so often.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from wayside.kube.client import PAGE, Client, Event, Object, read_object
from wayside.kube.errors import (
    Forbidden,
    Gone,
    KubeError,
    NotFound,
    Refused,
    Unauthorized,
)
from wayside.kube.pace import Pace, Pauses
from wayside.vocab.objects import text
from wayside.vocab.resource import Resource

Key = tuple[str, str]
"""Namespace (empty for kinds that are in none) and name."""
State = Literal["starting", "synced", "forbidden", "absent", "unreachable"]
"""``forbidden``: a right is missing, to list or to watch. ``absent``: the cluster does not know
the kind. ``unreachable``: no answer, or none of use; the copy is as it was."""
Kept = TypeVar("Kept")
Log = Callable[..., None]
"""Takes a constant phrase, ``level``, and fields, as :class:`wayside.telemetry.Log` does."""
TRIES: Final = 3
"""After so many watches in a row that broke without telling anything, everything is listed again:
the version may be what the server stumbles over."""
AT_ONCE: Final = 50
"""Objects of a list that are read before others have their turn: about 5 ms (pods of 8 KB)."""


class Reflector(Generic[Kept]):
    """What ``keep`` makes of each object of a kind, by namespace and name.

    ``keep`` is given the whole object and returns the little that is needed of it (the rest is
    forgotten at once), or ``None`` for an object that is of no interest. ``changed`` hears of
    each key whose kept value is another one than before: ``changed(key, old, new)``, with
    ``None`` for what is not there. It is called after :attr:`store` has changed, ``listed`` after
    a list has brought it up to date; neither may wait. A bug in one of the three is logged, costs
    that object, and ends nothing.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        keep: Callable[[Object], Kept | None],
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        changed: Callable[[Key, Kept | None, Kept | None], None] | None = None,
        listed: Callable[[], None] | None = None,
        log: Log | None = None,
        pace: Pace | None = None,
        dice: Callable[[], float] = random.random,
        page: int = PAGE,
    ) -> None:
        self.resource, self.namespace = resource, namespace
        self.state: State = "starting"
        self.problem = ""
        """Why the state is not ``synced``, in the server's words."""
        self.synced = asyncio.Event()
        """Set once, when everything has been listed."""
        self.settled = asyncio.Event()
        """Set once: listed, or known that it cannot be (``forbidden``, ``absent``)."""
        self.lists = self.watches = self.events = 0
        self._client, self._keep = client, keep
        self._changed, self._listed = changed, listed
        self._labels, self._fields = labels, fields
        self._log, self._page = log or _silent, page
        self._pace, self._dice = pace or Pace(), dice
        self._store: dict[Key, Kept] = {}
        self.store: Mapping[Key, Kept] = MappingProxyType(self._store)
        """What there is. Live: it changes whenever the caller waits for something."""
        self._version: str | None = None
        self._tries = 0
        self._absences = 0
        self._pauses = Pauses(self._pace, dice)
        self._watched_since = inf
        self._cut: asyncio.Timeout | None = None
        self._hurried = asyncio.Event()
        self._bug = ""

    def select(self, *, labels: str = "", fields: str = "") -> None:
        """Follow other objects of the kind from now on. Until they have been listed, the copy
        is as it was."""
        if (labels, fields) == (self._labels, self._fields):
            return
        self._labels, self._fields = labels, fields
        self._version = None
        if self._cut is not None:
            self._cut.reschedule(asyncio.get_running_loop().time())

    def hurry(self) -> None:
        """Do not rest any longer: what was refused or absent may be there now."""
        self._pauses.allowed()
        self._hurried.set()

    async def run(self) -> None:
        """Keep the copy up to date until cancelled."""
        while True:
            try:
                async with asyncio.timeout(None) as self._cut:
                    await self._turn()
            except TimeoutError:  # select(): what was under way is of no use any more
                self._version = None
            finally:
                self._cut = None

    async def _turn(self) -> None:
        """List if that is due, watch until that ends, and wait if something was wrong."""
        self._watched_since = inf
        try:
            if self._version is None:
                self._version = await self._list()
            await self._watch(self._version)
            rest = 0.0
        except Gone as error:
            self._version = None  # nothing is wrong, but all clients hear it at the same time
            rest = self._pauses.after(error)
        except (Forbidden, Unauthorized, NotFound) as error:
            rest = self._refused(error)
        except KubeError as error:
            rest = self._pauses.after(error)
            self._tries += 1
            worn_out = self._tries >= TRIES
            if worn_out:
                self._version = None
            if worn_out or self._watched_since == inf:  # else a watch was cut, as they are
                self._say("unreachable", str(error))
        held = asyncio.get_running_loop().time() - self._watched_since
        if held >= self._pace.steady_s:
            self._pauses.steady()
            self._tries = 0
        elif not rest:  # the server ended a watch that had hardly begun
            rest = self._pauses.after(None)
        if rest:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), rest)
        self._hurried.clear()

    def _refused(self, error: Refused) -> float:
        """A right or the kind is missing: say so, and look again in a while."""
        self._version = None
        if isinstance(error, NotFound):
            self._absences += 1
            if self._store and self._absences == 1:
                return self._pauses.after(None)  # once may be a server that is starting
            for key in list(self._store):
                self._put(key, None)
            self._say("absent", str(error))
        else:
            self._say("forbidden", str(error))
        self.settled.set()
        return self._pauses.after_refusal()

    async def _list(self) -> str:
        """Bring the copy to what is there now; the version to watch from."""
        asked = self._labels, self._fields
        try:
            version, found = await self._all(self._page)
        except Gone:  # changed too much between two pages: ask for everything at once
            version, found = await self._all(0)
        if asked != (self._labels, self._fields):
            return version  # select() came with the last page; what it cut is about to end
        self.lists += 1
        self._absences = self._tries = 0
        self._reached(version)
        for key in [key for key in self._store if key not in found]:
            self._put(key, None)
        for key, kept in found.items():
            self._put(key, kept)
        if self._listed is not None:
            self._call("listed", ("", ""), self._listed)
        self.synced.set()
        self.settled.set()
        return version

    async def _all(self, limit: int) -> tuple[str, dict[Key, Kept]]:
        found: dict[Key, Kept] = {}
        version = ""
        async for page in self._client.pages(
            self.resource, self.namespace, labels=self._labels, fields=self._fields, limit=limit
        ):
            version = page.resource_version
            for i, raw in enumerate(page.items):
                if i % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
                key, kept, _ = self._read(raw)
                if key is not None and kept is not None:
                    found[key] = kept
        return version, found

    async def _watch(self, version: str) -> None:
        seconds = round(self._pace.watch_s * (1 + self._dice() / 2))
        async with self._client.watch(
            self.resource,
            self.namespace,
            version=version,
            labels=self._labels,
            fields=self._fields,
            timeout_s=max(1, seconds),
        ) as events:
            self.watches += 1
            self._watched_since = asyncio.get_running_loop().time()
            self._pauses.allowed()
            self._say("synced", "")
            async for event in events:
                self.events += 1
                self._follow(event)
                self._tries = 0

    def _follow(self, event: Event) -> None:
        key, kept, version = self._read(event.object, bookmark=event.type == "BOOKMARK")
        self._reached(version)
        if key is not None and event.type in ("ADDED", "MODIFIED", "DELETED"):
            self._put(key, None if event.type == "DELETED" else kept)
        if version:
            self._version = version

    def _read(
        self, raw: msgspec.Raw, *, bookmark: bool = False
    ) -> tuple[Key | None, Kept | None, str]:
        found = read_object(raw, str(self.resource))
        meta: Any = found.get("metadata")
        if not isinstance(meta, dict):
            return None, None, ""
        version, name = text(meta.get("resourceVersion")), text(meta.get("name"))
        if bookmark or not name:
            return None, None, version
        key = (text(meta.get("namespace")), name)
        try:
            return key, self._keep(found), version
        except Exception as bug:  # noqa: BLE001 - one object must not end the watch of all
            self._tell_bug("keep", key, bug)
            return key, None, version

    def _reached(self, version: str) -> None:
        """What comes next is as it was at ``version``; for those who know more than they were
        told."""

    def _put(self, key: Key, new: Kept | None) -> None:
        old = self._store.get(key)
        if old == new:
            return
        if new is None:
            del self._store[key]
        else:
            self._store[key] = new
        if self._changed is not None:
            self._call("changed", key, self._changed, key, old, new)

    def _call(self, name: str, key: Key, hook: Callable[..., None], *values: object) -> None:
        try:
            hook(*values)
        except Exception as bug:  # noqa: BLE001 - one object must not end the watch of all
            self._tell_bug(name, key, bug)

    def _say(self, state: State, problem: str) -> None:
        self.problem = problem
        if state == self.state:
            return
        self.state = state
        self._log(
            "kubernetes watch",
            level="info" if state in ("synced", "absent") else "warning",
            resource=str(self.resource),
            namespace=self.namespace or "",
            state=state,
            problem=problem,
        )

    def _tell_bug(self, where: str, key: Key, bug: Exception) -> None:
        text = f"{type(bug).__name__}: {bug}"
        if text == self._bug:  # the same of every object is told once
            return
        self._bug = text
        self._log(
            "kubernetes object not understood",
            level="error",
            resource=str(self.resource),
            object="/".join(key),
            where=where,
            problem=text,
        )


def _silent(event: str, **fields: object) -> None:
    """Where nobody wants to hear of it."""
