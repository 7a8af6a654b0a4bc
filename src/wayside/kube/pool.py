"""One InferencePool as the cluster has it: its pods, and the objectives and rewrites for it.

What an endpoint picker watches. Only the pool and its pods have to be readable; objectives and
rewrites are used as far as their CRDs are installed and our Role lets us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from wayside.kube.client import Client, Object
from wayside.kube.inference import (
    GROUP,
    OBJECTIVES,
    OLD_OBJECTIVES,
    OLD_REWRITES,
    POOLS,
    REWRITES,
    read_objective,
    read_pool,
    read_rewrite,
)
from wayside.kube.pace import Pace
from wayside.kube.pods import Place, Pod, places, read_pod
from wayside.kube.watch import Log, Reflector, State
from wayside.vocab.errors import ConfigError
from wayside.vocab.inference import Objective, PoolSpec, Rewrite, Rewrites, new_wins
from wayside.vocab.resource import PODS

NOBODY: Final = "wayside/nobody,!wayside/nobody"
"""A label selector that no pod satisfies, for a pool that selects none: an empty one means all."""


class PoolWatch:
    """Follows the pool ``name`` of ``namespace`` while :meth:`run` runs.

    ``changed`` is called after :attr:`places` may be others, once for changes that came together,
    and must not wait. An objective or a rewrite is for this pool when its ``poolRef`` has our
    name: a pool on its way from one API group to the other is one pool.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        *,
        group: str = GROUP,
        fixed: PoolSpec | None = None,
        changed: Callable[[], None] | None = None,
        log: Log | None = None,
        pace: Pace | None = None,
    ) -> None:
        """``fixed`` is the pool where no InferencePool describes it. Raises :class:`ConfigError`
        for a group that has none."""
        if group not in POOLS:
            raise ConfigError.one(
                f"no InferencePool in the API group {group!r}",
                where="--pool-group",
                fix=f"use one of: {', '.join(POOLS)}",
            )
        self.name, self.namespace = name, namespace
        self.pool: PoolSpec | None = None
        """The pool whose pods are followed."""
        self._next: PoolSpec | None = None
        """The pool as it is, while pods by its labels are being listed: until then the last one
        holds, so that relabelling a pool empties it for nobody."""
        self._changed, self._told = changed, True
        self._places: tuple[Place, ...] | None = None
        self._rewrites: Rewrites | None = None
        shared: Any = {"namespace": namespace, "log": log, "pace": pace}
        self._pods = Reflector[Pod](
            client,
            PODS,
            read_pod,
            labels=NOBODY,
            changed=self._place_changed,
            listed=self._pods_listed,
            **shared,
        )
        self._pool = (
            None
            if fixed
            else Reflector[PoolSpec](
                client,
                POOLS[group],
                read_pool,
                fields=f"metadata.name={name}",
                changed=self._pool_changed,
                **shared,
            )
        )
        self._objectives = [
            Reflector[Objective](client, resource, self._objective, **shared)
            for resource in (OLD_OBJECTIVES, OBJECTIVES)
        ]
        self._rewriters = [
            Reflector[Rewrite](
                client, resource, self._rewrite, changed=self._rewrite_changed, **shared
            )
            for resource in (OLD_REWRITES, REWRITES)
        ]
        self._optional: list[Reflector[Any]] = [*self._objectives, *self._rewriters]
        self._known = asyncio.Event()
        if fixed:
            self._follow(fixed)

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._optional:
                tasks.create_task(reflector.run())
            if self._pool is not None:
                tasks.create_task(self._pool.run())
            await self._known.wait()  # without a pool, nobody's pods are asked for
            await self._pods.run()

    @property
    def synced(self) -> bool:
        """Whether there is a pool, its pods have been listed, and all else has been tried."""
        return (
            self.pool is not None
            and self._pods.synced.is_set()
            and all(r.settled.is_set() or r.state == "unreachable" for r in self._optional)
        )

    @property
    def places(self) -> tuple[Place, ...]:
        """What takes requests now, by name. The same tuple until something changes."""
        if self._places is None:
            pool = self.pool
            found = (
                []
                if pool is None
                else [place for pod in self._pods.store.values() for place in places(pod, pool)]
            )
            self._places = tuple(sorted(found, key=lambda place: place.name))
        return self._places

    @property
    def rewrites(self) -> Rewrites:
        """The rules for models' names."""
        if self._rewrites is None:
            old, new = (r.store.values() for r in self._rewriters)
            self._rewrites = Rewrites(new_wins(old, new))
        return self._rewrites

    def objective(self, name: str) -> Objective | None:
        """The objective a request names, of the newer API group where both have it."""
        old, new = self._objectives
        key = (self.namespace, name)
        return new.store.get(key) or old.store.get(key)

    @property
    def states(self) -> dict[str, State]:
        """How each watch stands, by resource."""
        watches: list[Reflector[Any]] = [self._pods, *self._optional]
        if self._pool is not None:
            watches.append(self._pool)
        return {str(watch.resource): watch.state for watch in watches}

    def _objective(self, found: Object) -> Objective | None:
        objective = read_objective(found)
        return objective if objective.pool.name == self.name else None

    def _rewrite(self, found: Object) -> Rewrite | None:
        rewrite = read_rewrite(found)
        return rewrite if rewrite.pool.name == self.name else None

    def _pool_changed(self, key: object, old: PoolSpec | None, new: PoolSpec | None) -> None:
        if new is None:
            self.pool = self._next = None
        else:
            self._follow(new)
        self._place_changed()

    def _follow(self, pool: PoolSpec) -> None:
        if self.pool is None or self.pool.selector == pool.selector:
            self.pool, self._next = pool, None
        else:
            self._next = pool
        labels = ",".join(f"{name}={value}" for name, value in pool.selector)
        self._pods.select(labels=labels or NOBODY)
        self._known.set()

    def _pods_listed(self) -> None:
        if self._next is not None:
            self.pool, self._next = self._next, None
            self._place_changed()

    def _place_changed(self, *_: object) -> None:
        self._places = None
        if self._changed is not None and self._told:
            self._told = False
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._told = True
        if self._changed is not None:
            self._changed()

    def _rewrite_changed(self, *_: object) -> None:
        self._rewrites = None
