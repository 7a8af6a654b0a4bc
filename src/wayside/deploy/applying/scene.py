"""What a target sees of a cluster, and the running of its steps.

A target is a plain generator that asks plain questions, and the answers take a network. So its
steps run in a thread of their own, and what it asks is answered by the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from wayside.deploy import DEPLOYMENT, Object, Step, Target
from wayside.deploy.applying.cluster import Cluster, called, whose
from wayside.deploy.intent import Intent
from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.resource import Resource

_ANSWER_S = 60.0
"""How long a question of a target may take."""


class Told:
    """What the user set, and what of it somebody asked for."""

    def __init__(self, told: Mapping[str, str] | None = None, cluster: str = "") -> None:
        self._told, self._asked, self._cluster_name = dict(told or {}), set[str](), cluster

    @property
    def cluster(self) -> str:
        """Of ``intent.clusters``, the one that this is; empty where there are none."""
        return self._cluster_name

    def told(self, name: str) -> str:
        """What the user set, or ``""``."""
        self._asked.add(name)
        return self._told.get(name, "")

    def check(self) -> None:
        """Raises :class:`ConfigError` for what was set and nobody asked for."""
        left = sorted(set(self._told) - self._asked)
        if left:
            known = sorted(self._asked)
            fix = suggest(left[0], known, "names") if known else "leave it out"
            raise ConfigError(
                [Problem("is set, and nothing asks for it", f"--set {name}", fix) for name in left]
            )


class Offline(Told):
    """Knows nothing but what the user told it: for rendering."""

    @property
    def live(self) -> bool:
        return False

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        return None

    def all(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        return ()

    def has(self, resource: Resource) -> bool | None:
        return None


class Live(Told):
    """A cluster, looked at from the thread that a target runs in."""

    @property
    def live(self) -> bool:
        return True

    def __init__(
        self, cluster: Cluster, told: Mapping[str, str] | None = None, name: str = ""
    ) -> None:
        super().__init__(told, name)
        self._cluster, self._loop = cluster, asyncio.get_running_loop()

    def _ask(self, question: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(_ANSWER_S)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        found: Object | None = self._ask(self._cluster.get(resource, name, namespace))
        return found

    def all(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        found: list[Object] = self._ask(self._cluster.all(resource, namespace))
        return found

    def has(self, resource: Resource) -> bool | None:
        return bool(self._ask(self._cluster.has(resource)))


async def steps(target: Target, intent: Intent, scene: Live) -> AsyncIterator[Step]:
    """The steps of a target, each asked for when the one before is done with."""
    running = target.steps(intent, scene)
    while True:
        found = await asyncio.to_thread(next, running, None)
        if found is None:
            return
        checked(found, intent)
        yield found


def rendered(target: Target, intent: Intent, scene: Offline) -> list[Step]:
    """The steps as they are without a cluster. Raises :class:`ConfigError` for what the target
    has to be told."""
    found = list(target.steps(intent, scene))
    for step in found:
        checked(step, intent)
    scene.check()
    return found


def checked(step: Step, intent: Intent) -> None:
    """Raises ``ValueError`` for objects that no target may make: without the label by which
    ``destroy`` knows them, or Secrets."""
    for manifest in step.manifests:
        for found in manifest.objects:
            if whose(found) != intent.name:
                raise ValueError(f"{called(found)} lacks the label {DEPLOYMENT}: {intent.name}")
            if found.get("kind") == "Secret":
                raise ValueError(f"{called(found)}: no target writes a Secret")
