"""A configuration file with what a Kubernetes cluster holds laid over it.

The file is the base. An IntelligentPool and an IntelligentRoute replace what it says of routing,
LLMInferenceServices and model servers add models and servers to those that it names. What is made
of them goes the way of any changed file: it is validated and compiled whole, put in force at once
or refused whole; the pool's and the route's statuses say which.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from wayside.kube.errors import KubeError
from wayside.kube.registry import Held, Registry
from wayside.runtime import published
from wayside.runtime.served import MOST_NAMES, Ask, Asker, Served, Survey
from wayside.settings.load import fill, literal
from wayside.settings.registry import RegistrySettings
from wayside.telemetry import Log
from wayside.translate import intelligent, kubernetes
from wayside.translate.found import Found, with_found
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.objects import section, sections
from wayside.vocab.resource import INTELLIGENT_POOLS, INTELLIGENT_ROUTES, Resource

GATHER_S: Final = 0.05
"""Changes that come so close together are one."""
REST_S: Final = 1.0
"""From one configuration to the next, however often the cluster changes: to compile one takes a
whole processor."""
REST_TIMES: Final = 4.0
"""The same in times of what the last one took, where that is more."""
REST_MOST_S: Final = 30.0
FIRST_ANSWERS_S: Final = 6.0
"""So long the first configuration waits for answers of servers."""
TELL_AGAIN_S: Final = 5.0

Object = dict[str, Any]
Seen = tuple[Held, dict[str, tuple[str, ...]]]


def lay_over(
    base: Mapping[str, Any],
    settings: RegistrySettings,
    held: Held,
    served: Served,
    namespace: str,
    *,
    env: Mapping[str, str] | None = None,
    written: Mapping[str, Any] | None = None,
    left: list[str] | None = None,
) -> Object:
    """``base`` (our format, its variables unfilled) with what the cluster holds, filled from
    ``env``: variables are the file's alone, so that nobody reads them through an object of the
    cluster. ``written`` is the base as it stands in the file where that is vSR's v0.3, whose
    defaults are for pools and routes, too; what is left out is added to ``left``. Raises
    :class:`ConfigError` where a pool and a route are wanted and are none."""
    left = [] if left is None else left
    if settings.routes:
        document = _with_routes(base, settings, held, namespace, env or {}, written, left)
    else:
        document = fill(dict(base), env or {})
    models, wrong = with_found(document, _found(held, served, settings, left), settings.defaults)
    left += wrong
    if models:
        document["models"] = models
    return document


def _found(
    held: Held, served: Served, settings: RegistrySettings, left: list[str]
) -> Iterator[Found]:
    keys = settings.published.keys if settings.published is not None else ""
    yield from published.found(held.published, keys, left)
    for llm in held.llms:
        url = llm.url.rstrip("/")
        based = "/" in url.partition("://")[2]
        by = f"LLMInferenceService {llm.namespace}/{llm.name}"
        yield Found(llm.model, {"url": f"{url}/v1" if based else url, "name": llm.name}, by)
    for url, server in held.servers.items():
        endpoint = {"url": url, "name": server.name, "labels": dict(server.labels)}
        names = served.get(url, ())
        if len(names) > MOST_NAMES:
            left.append(f"{server.name}: of {len(names)} models, the first {MOST_NAMES} are used")
        for model in names[:MOST_NAMES]:
            yield Found(model, endpoint, f"{server.name} ({url})")


def _with_routes(
    base: Mapping[str, Any],
    settings: RegistrySettings,
    held: Held,
    namespace: str,
    env: Mapping[str, str],
    written: Mapping[str, Any] | None,
    left: list[str],
) -> Object:
    families = list(section(base, "reasoning_families"))
    for reason, message in intelligent.judge(held.pools, held.routes, namespace, families):
        if reason != "Ready":
            raise ConfigError.one(message, where="registry.routes")
    both = [held.pools[0], held.routes[0]]
    with_base = both if written is None else [written, *literal(both)]
    made = kubernetes.translate_together(with_base)
    refused = [Problem(n.what, n.path) for n in made.notes if n.severity == "refused"]
    if refused:
        raise ConfigError(refused)
    left += [
        f"{n.path}: {n.what}"
        for n in made.notes
        if n.severity == "unsupported"
        and n.path.startswith("spec")
        and not n.path.startswith("spec.models")
    ]
    if written is not None:
        return fill(dict(made.settings), env)
    document = fill(dict(base), env)
    known = section(document, "models")
    document["models"] = dict(known) | {
        name: {**known.get(name, settings.defaults), **model}
        for name, model in section(made.settings, "models").items()
    }
    for part in ("reasoning_families", "engines", "stores", "routing"):
        if together := {**section(document, part), **section(made.settings, part)}:
            document[part] = together
    return document


class _Verdict(NamedTuple):
    """What became of a configuration: a reason and a message, and what it was made of."""

    reason: str
    message: str
    held: Held


class ClusterPart:
    """What the cluster holds, and what became of it."""

    def __init__(
        self,
        registry: Registry,
        settings: RegistrySettings,
        log: Log,
        *,
        ask: Ask | None = None,
        env: Mapping[str, str] | None = None,
        rest_s: float = REST_S,
    ) -> None:
        """``ask`` says which models the server at a base URL serves."""
        self._registry, self._settings, self._log = registry, settings, log
        self._env = env or {}
        self._survey = Survey(ask or Asker(), self.moved, lambda why: self._say("ask", why))
        self._moved = asyncio.Event()
        self._moved.set()
        self._seen: Seen = (Held(), {})
        """What was there when it was last looked; whole, so that another thread may read it."""
        self._laid = self._seen
        self._left: list[str] = []
        self._families: list[str] = []
        self._began = self._took = 0.0
        self._rest_s = rest_s
        self._again_at = 0.0
        self._untold: _Verdict | None = None
        self._told: dict[str, Object] = {}
        self._problems: list[str] = []
        self._said: dict[str, str] = {}

    def moved(self) -> None:
        """Something may have changed; does not wait."""
        self._moved.set()

    async def settled(self) -> None:
        """Until everything is known once: all objects, and what those servers serve that answer
        soon. Says in the log what it waits for."""
        while not self._registry.known:
            self._complain()
            await asyncio.sleep(GATHER_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWERS_S):
                while not all(map(self._survey.asked, self._registry.held().servers)):
                    await asyncio.sleep(GATHER_S)
        self._complain()
        self._seen = self._now()

    def over(self, base: Mapping[str, Any], *, written: Mapping[str, Any] | None = None) -> Object:
        """:func:`lay_over` with what is known now. May run on any thread, though on one at a
        time; what is told of it next, by :meth:`in_force` or :meth:`refused`, is of this."""
        self._began = time.monotonic()
        held, served = self._laid = self._seen
        left: list[str] = []
        self._left = left
        self._families = list(section(base, "reasoning_families"))
        return lay_over(
            base,
            self._settings,
            held,
            served,
            self._registry.namespace,
            env=self._env,
            written=written,
            left=left,
        )

    def in_force(self) -> None:
        """What :meth:`over` made last is in force."""
        left = "; left out: " + "; ".join(self._left[:20]) if self._left else ""
        self._say("left out", "; ".join(self._left[:20]))
        self._done("Ready", f"in force{left}")

    def refused(self, error: ConfigError) -> None:
        """What :meth:`over` made last is not, and what was in force before stays."""
        self._done("UpdateFailed", str(error))

    async def run(self, again: Callable[[], None]) -> None:
        """Follow the cluster until cancelled; ``again`` wants :meth:`over` to be asked again."""

        def servers() -> Mapping[str, Any]:
            return self._registry.held().servers

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._registry.run())
            tasks.create_task(self._survey.run(servers))
            tasks.create_task(self._steady(lambda: self._notice(again)))

    # --- inner workings ------------------------------------------------------------------------

    def _done(self, reason: str, message: str) -> None:
        self._took = time.monotonic() - self._began
        self._untold = _Verdict(reason, message, self._laid[0])
        self.moved()

    def _now(self) -> Seen:
        held = self._registry.held()
        return held, self._survey.of(held.servers)

    async def _steady(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Again and again; a bug costs one turn, and is said once."""
        while True:
            try:
                await turn()
            except Exception as bug:  # noqa: BLE001 - whoever follows a cluster goes on
                self._say("bug", f"{type(bug).__name__}: {bug}")
                await asyncio.sleep(1.0)

    async def _notice(self, again: Callable[[], None]) -> None:
        clock = asyncio.get_running_loop().time
        late = self._seen != self._laid
        with suppress(TimeoutError):
            async with asyncio.timeout(
                max(0.0, self._again_at - clock()) if late else TELL_AGAIN_S
            ):
                await self._moved.wait()
        self._moved.clear()
        await asyncio.sleep(GATHER_S)
        self._complain()
        if self._registry.known:
            self._seen = self._now()
        if self._seen != self._laid and clock() >= self._again_at:
            rest = max(self._rest_s, REST_TIMES * self._took)
            self._again_at = clock() + min(rest, REST_MOST_S)
            again()
        if self._untold is not None:
            await self._tell(self._untold)

    def _complain(self) -> None:
        problems = self._registry.problems()
        if problems != self._problems:
            self._problems = problems
            for problem in problems:
                self._log("registry", level="warning", what=problem)

    def _say(self, about: str, what: str) -> None:
        """Into the log, unless it said the same last."""
        if self._said.get(about, "") == what:
            return
        self._said[about] = what
        if what:
            self._log("registry", level="warning", about=about, what=what[:4000])

    # --- statuses ------------------------------------------------------------------------------

    async def _tell(self, said: _Verdict) -> None:
        """Write the statuses of pools and routes, as far as they are not so already."""
        held = said.held
        if self._settings.routes:
            namespace = self._registry.namespace
            verdicts = intelligent.judge(held.pools, held.routes, namespace, self._families)
            kinds = (INTELLIGENT_POOLS, INTELLIGENT_ROUTES)
            try:
                for resource, objects, verdict in zip(
                    kinds, (held.pools, held.routes), verdicts, strict=True
                ):
                    told = verdict if verdict[0] != "Ready" else (said.reason, said.message)
                    for found in objects:
                        await self._tell_one(resource, found, *told)
            except KubeError as error:
                self._say("status not written", str(error))
                return  # tried again with the next look
            self._say("status not written", "")
            there = {section(o, "metadata").get("uid") for o in (*held.pools, *held.routes)}
            self._told = {k: v for k, v in self._told.items() if k in there}
        if self._untold is said:
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
        key = str(meta.get("uid"))
        said = {**status, "conditions": [condition]}
        if self._told.get(key) == said:
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        written = {**status, "conditions": [{**condition, "lastTransitionTime": now}]}
        await self._registry.tell(resource, found, written)
        self._told[key] = said
