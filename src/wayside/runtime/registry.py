"""A configuration file with what a Kubernetes cluster holds laid over it.

The file is the base. An IntelligentPool and an IntelligentRoute replace what it says of routing,
LLMInferenceServices and model servers add models and servers to those that it names. What is made
of them goes the way of any changed file: it is validated and compiled whole, put in force at once
or refused whole; the pool's and the route's statuses say which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from wayside.fleet.page import PageError, Pages
from wayside.fleet.resolve import Resolver
from wayside.kube.errors import KubeError
from wayside.kube.registry import INTELLIGENT_POOLS, INTELLIGENT_ROUTES, Held, Registry
from wayside.settings.address import parse_address
from wayside.settings.registry import RegistrySettings
from wayside.telemetry import Log
from wayside.translate import intelligent, kubernetes
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.objects import section, sections
from wayside.vocab.resource import Resource

GATHER_S: Final = 0.05
"""Changes that come so close together are one."""
ASK_AGAIN_S: Final = 2.0
"""A server that did not answer is asked again after so long, one that did after ten times that."""
ASK_WITHIN_S: Final = 5.0
MOST_BYTES: Final = 1 << 20
AT_ONCE: Final = 16
TELL_AGAIN_S: Final = 5.0

Object = dict[str, Any]
Served = Mapping[str, tuple[str, ...]]
"""Base URL of a server -> the models that it says it serves."""


class _Model(msgspec.Struct):
    id: str
    parent: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


_models = msgspec.json.Decoder(_Models).decode


def lay_over(
    base: Mapping[str, Any],
    settings: RegistrySettings,
    held: Held,
    served: Served,
    namespace: str,
    *,
    written: Mapping[str, Any] | None = None,
    left: list[str] | None = None,
) -> Object:
    """``base`` (our format, variables unfilled) with what the cluster holds. ``written`` is the
    base as it stands in the file where that is vSR's v0.3, whose defaults are for pools and
    routes, too; what is left out of those is added to ``left``. Raises :class:`ConfigError` where
    a pool and a route are wanted and are none."""
    document = dict(base)
    if settings.routes:
        document = _with_routes(base, settings, held, namespace, written, left)
    models: dict[str, Any] = dict(section(document, "models"))
    found: dict[str, list[Object]] = {}
    for llm in held.llms:
        address = parse_address(llm.url)
        url = llm.url if not address.base_path else f"{llm.url.rstrip('/')}/v1"
        found.setdefault(llm.model, []).append({"url": url, "name": llm.name})
    for url, server in held.servers.items():
        endpoint = {"url": url, "name": server.name, "labels": dict(server.labels)}
        for model in served.get(url, ()):
            found.setdefault(model, []).append(endpoint)
    for model, endpoints in found.items():
        known = models.get(model, settings.defaults)
        known = dict(known) if isinstance(known, Mapping) else {}
        models[model] = {**known, "endpoints": [*known.get("endpoints", ()), *endpoints]}
    if models:
        document["models"] = models
    return document


def _with_routes(
    base: Mapping[str, Any],
    settings: RegistrySettings,
    held: Held,
    namespace: str,
    written: Mapping[str, Any] | None,
    left: list[str] | None,
) -> Object:
    families = list(section(base, "reasoning_families"))
    for reason, message in intelligent.judge(held.pools, held.routes, namespace, families):
        if reason != "Ready":
            raise ConfigError.one(message, where="registry.routes")
    both = [held.pools[0], held.routes[0]]
    made = kubernetes.translate_together(both if written is None else [written, *both])
    refused = [Problem(n.what, n.path) for n in made.notes if n.severity == "refused"]
    if refused:
        raise ConfigError(refused)
    if left is not None:
        theirs = (n for n in made.notes if n.path.startswith("spec"))
        left += [f"{n.path}: {n.what}" for n in theirs if n.severity == "unsupported"]
    if written is not None:
        return dict(made.settings)
    document = dict(base)
    known = section(base, "models")
    document["models"] = dict(known) | {
        name: {**known.get(name, settings.defaults), **model}
        for name, model in section(made.settings, "models").items()
    }
    for part in ("reasoning_families", "engines", "stores", "routing"):
        if together := {**section(base, part), **section(made.settings, part)}:
            document[part] = together
    return document


class ClusterPart:
    """What the cluster holds, and what became of it."""

    def __init__(
        self,
        registry: Registry,
        settings: RegistrySettings,
        log: Log,
        *,
        ask: Callable[[str], Awaitable[tuple[str, ...] | None]] | None = None,
    ) -> None:
        """``ask`` says which models the server at a base URL serves, ``None`` for no answer."""
        self._registry, self._settings, self._log = registry, settings, log
        self._ask = ask or Asker()
        self._moved = asyncio.Event()
        self._moved.set()
        self._served: dict[str, tuple[str, ...]] = {}
        self._due: dict[str, float] = {}
        self._seen: tuple[Held, dict[str, tuple[str, ...]]] = (Held(), {})
        """What was there when it was last looked; whole, so that another thread may read it."""
        self._laid = self._seen
        self._told: dict[str, Object] = {}
        self._left: list[str] = []
        self._untold: tuple[str, str] | None = None
        self._problems: list[str] = []

    def moved(self) -> None:
        """Something may have changed; does not wait."""
        self._moved.set()

    async def settled(self) -> None:
        """Until everything is known once. Says in the log what it waits for."""
        while not self._registry.known or any(
            url not in self._served and url not in self._due for url in self._now()[0].servers
        ):
            self._complain()
            await asyncio.sleep(GATHER_S)
        self._complain()
        self._seen = self._now()

    def over(self, base: Mapping[str, Any], *, written: Mapping[str, Any] | None = None) -> Object:
        """:func:`lay_over` with what is known now. May run on any thread."""
        held, served = self._laid = self._seen
        left: list[str] = []
        namespace = self._registry.namespace
        made = lay_over(base, self._settings, held, served, namespace, written=written, left=left)
        self._left = [one for one in left if not one.startswith("spec.models")]
        return made

    def in_force(self) -> None:
        """What :meth:`over` made last is in force."""
        left = "; left out: " + "; ".join(self._left[:20]) if self._left else ""
        self._untold = ("Ready", f"in force{left}")
        self.moved()

    def refused(self, error: ConfigError) -> None:
        """What :meth:`over` made last is not, and what was in force before stays."""
        self._untold = ("UpdateFailed", str(error))
        self.moved()

    async def run(self, again: Callable[[], None]) -> None:
        """Follow the cluster until cancelled; ``again`` wants :meth:`over` to be asked again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._registry.run())
            tasks.create_task(self._ask_all())
            tasks.create_task(self._notice(again))

    # --- inner workings ------------------------------------------------------------------------

    def _now(self) -> tuple[Held, dict[str, tuple[str, ...]]]:
        held = self._registry.held()
        return held, {url: self._served[url] for url in held.servers if url in self._served}

    async def _notice(self, again: Callable[[], None]) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_AGAIN_S):
                    await self._moved.wait()
            self._moved.clear()
            await asyncio.sleep(GATHER_S)
            self._complain()
            if self._registry.known:
                self._seen = self._now()
                if self._seen != self._laid:
                    again()
            if self._untold is not None:
                await self._tell(*self._untold)

    def _complain(self) -> None:
        problems = self._registry.problems()
        if problems != self._problems:
            self._problems = problems
            for problem in problems:
                self._log("registry", level="warning", what=problem)

    async def _ask_all(self) -> None:
        """Ask servers what they serve: new ones at once, others now and then."""
        clock = asyncio.get_running_loop().time
        while True:
            servers = self._registry.held().servers
            for url in [url for url in self._due if url not in servers]:
                del self._due[url]
                self._served.pop(url, None)
            due = [url for url in servers if self._due.get(url, 0.0) <= clock()][:AT_ONCE]
            for url, names in zip(
                due, await asyncio.gather(*(self._ask(url) for url in due)), strict=True
            ):
                self._due[url] = clock() + ASK_AGAIN_S * (1 if names is None else 10)
                if names is not None and names != self._served.get(url):
                    self._served[url] = names
                    self.moved()
            await asyncio.sleep(GATHER_S if due else 10 * GATHER_S)

    async def _tell(self, reason: str, message: str) -> None:
        """Write the statuses of pools and routes, as far as they are not so already."""
        held, _ = self._laid
        if not self._settings.routes:
            self._untold = None
            return
        verdicts = intelligent.judge(held.pools, held.routes, self._registry.namespace)
        try:
            for resource, objects, verdict in zip(
                (INTELLIGENT_POOLS, INTELLIGENT_ROUTES),
                (held.pools, held.routes),
                verdicts,
                strict=True,
            ):
                told = verdict if verdict[0] != "Ready" else (reason, message)
                for found in objects:
                    await self._tell_one(resource, found, *told)
        except KubeError as error:
            self._log("status not written", level="warning", why=str(error))
            return  # tried again with the next look
        self._untold = None

    async def _tell_one(
        self, resource: Resource, found: Object, reason: str, message: str
    ) -> None:
        meta = section(found, "metadata")
        condition = {
            "type": "Ready",
            "status": "True" if reason == "Ready" else "False",
            "reason": reason,
            "message": message[:32_000],
            "observedGeneration": meta.get("generation"),
        }
        status: Object = {"observedGeneration": meta.get("generation")}
        if resource is INTELLIGENT_POOLS:
            status["modelCount"] = len(sections(section(found, "spec").get("models")))
        else:
            status["statistics"] = intelligent.statistics(found)
        key = f"{resource}/{meta.get('uid')}"
        said = {**status, "conditions": [condition]}
        if self._told.get(key) == said:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        written = {**status, "conditions": [{**condition, "lastTransitionTime": now}]}
        await self._registry.tell(resource, found, written)
        self._told[key] = said


class Asker:
    """Asks model servers which models they serve."""

    def __init__(self, key: str = "") -> None:
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._resolver = Resolver()

    async def __call__(self, url: str) -> tuple[str, ...] | None:
        pages = Pages(parse_address(url), None, self._resolver)
        try:
            answer = await pages.get(
                "/v1/models", timeout_s=ASK_WITHIN_S, most=MOST_BYTES, headers=self._headers
            )
            if answer.status != 200:
                return None
            return tuple(sorted({m.id for m in _models(answer.body).data if m.parent is None}))
        except (PageError, msgspec.MsgspecError, UnicodeError):
            return None
        finally:
            pages.close()
