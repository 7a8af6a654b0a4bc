"""One running router: settings compiled, engines loaded, replicas known, reload watched."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from starlette.routing import Mount

from wayside.cli.files import Loaded
from wayside.cli.files import read as read_again
from wayside.cli.tracing import trace
from wayside.cli.workers import WORKER
from wayside.console import Console, Inside
from wayside.console.folder import state_folder
from wayside.console.inside import Trial
from wayside.dialects import encode
from wayside.engines import Engines
from wayside.extproc import Replicas
from wayside.fleet import Fleet, Urgencies
from wayside.fleet.efficiency import Efficiency
from wayside.fleet.faults import Faults
from wayside.fleet.gauges import show
from wayside.fleet.servers import servers_of
from wayside.fleet.view import View
from wayside.flow import Policy
from wayside.gateway.further import Further
from wayside.gateway.management import Management
from wayside.kube import secrets
from wayside.kube.servers import Clusters
from wayside.net.tls import Certificates
from wayside.runtime import Answerer, Runtime, compile_policy
from wayside.runtime.admission import admission
from wayside.runtime.calls import Calls
from wayside.runtime.experience import Experience
from wayside.runtime.keys import KeyRing
from wayside.runtime.prefill import Prefill
from wayside.runtime.reload import ConfigState, Watcher
from wayside.settings import RouterSettings
from wayside.stores import Stores
from wayside.stores.metrics import watch as watch_stores
from wayside.telemetry import Log, Price, Telemetry
from wayside.translate import production_stack
from wayside.vocab.ask import Ask
from wayside.vocab.errors import ConfigError, Problem, WaysideError
from wayside.vocab.outcome import Record, Reply

if TYPE_CHECKING:
    from wayside.gateway.maas_api import MaasApi
    from wayside.gateway.server import HttpServer
    from wayside.gateway.usage_api import UsageApi
    from wayside.maas import Maas

FLUSH_S = 0.2
MAX_EVER = 10_000
"""Models of earlier settings that are remembered."""
_RETIRE_S = 120.0
"""How long an engine that a reload left out still answers requests that began before."""
_FIXED = (
    *("listen", "management", "limits", "log", "tracing", "extproc", "envoy", "batches"),
    "registry",
)
"""Parts of the settings that are read at start only; a change there asks for a restart."""


class Prepared(NamedTuple):
    """A configuration that is ready to be put in force."""

    loaded: Loaded
    policy: Policy
    engines: Engines
    stores: Stores


class App:
    """Everything one process holds. Built before anything listens, so that errors come first."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        env: Mapping[str, str] | None = None,
        update: Mapping[str, object] | None = None,
        needs_endpoints: bool = True,
        log: Log | None = None,
        read: Callable[[bytes], Loaded] | None = None,
    ) -> None:
        """``update`` replaces parts of the settings: what the command line says wins. ``read``
        makes a configuration of the watched file's content, where that is not all of it."""
        self._env = os.environ if env is None else env
        self._read = read or (lambda text: read_again(text, self.state.path, env=self._env))
        self.loaded = loaded
        """What is in force, as it was written."""
        self._ever: dict[str, None] = {}
        self._needs_endpoints = needs_endpoints
        self._update = dict(update or {})
        self._in_file = loaded.settings
        self.settings = loaded.settings.model_copy(update=self._update)
        self.keys = KeyRing(self._env)
        self.created = int(time.time())
        counted_together(self.settings, workers=WORKER in self._env)
        policy = compile_policy(
            self.settings,
            keys=self.keys.resolve,
            created=self.created,
            needs_endpoints=needs_endpoints,
        )
        self.engines = Engines(self.settings.engines, self.keys.resolve)
        load_engines(self.engines, policy)
        self.log = log or log_of(self.settings)
        self.fleet = Fleet(self.settings.models, picking=self.settings.picking)
        self._unreadable = ""
        """What was last said against a rotated file of certificates."""
        self.fleet.urgency = Urgencies(self.settings.urgency, self.settings.identity)
        self.telemetry = Telemetry(self.log, _access(self.settings, self.log))
        trace(self.telemetry, lambda: self.settings, self._env, self.keys.resolve)
        self.certificates = Certificates(self.log, self.telemetry.metrics)
        self.admission = admission(
            self.settings.limits,
            self.settings.urgency,
            lambda headers, groups: self.fleet.urgency.of(headers, 0, groups),
            self.telemetry.metrics,
        )
        self.fleet.told = Efficiency(self.telemetry.metrics)
        self.fleet.fault = Faults(self.telemetry.metrics, self.log)
        self._count = watch_stores(self.telemetry.metrics, lambda: self.stores)
        self.stores = Stores(self.settings.stores, self.keys.resolve, self.log, count=self._count)
        load_stores(self.stores, policy)
        self.telemetry.prices = prices(self.settings)
        self.calls = Calls(
            lambda: self.runtime.policy, self.fleet, self.telemetry.called, random.Random().random
        )
        self.prefill = Prefill(self.calls, random.Random().random, self._split())
        self.experience = Experience(lambda flow: self.runtime.after(flow))
        self.telemetry.watchers = self.experience.adopt(self.settings, policy)
        self.experience.observed.servers = lambda model: servers_of(self.fleet.pools.get(model))
        self.maas = _maas(self.settings, self._env, self.log)
        if self.maas is not None:
            self.maas.meter(self.telemetry, lambda: self.stores, self._has_model)
        self.runtime = Runtime(policy, self._answerers(self.engines, self.stores))
        if self.maas is not None:
            self.runtime.gate = self.maas.gate
            self.maas_api = self._maas_api(self.maas)
            self.runtime.further = Further()
            self.maas_api.add_to(self.runtime.further)
            self.usage_api = _usage_api(self.maas)
            self.usage_api.add_to(self.runtime.further)
        self.runtime.fault = lambda why: self.log("left undone", level="error", why=why)
        self.state = ConfigState(path=loaded.path)
        self.state.accepted(loaded.text, tuple(str(n) for n in loaded.notes), ())
        self.serving = False
        self.draining = False
        self.management = Management(
            self.runtime,
            self.telemetry,
            self.state,
            self.ready,
            engines=lambda: self.engines,
            settings=self.settings.management,
            experience=self.experience,
            stores=lambda: self.stores,
            more=(*self.maas_api.endpoints(), *self.usage_api.endpoints())
            if self.maas is not None
            else (),
        )
        self.server: HttpServer | None = None
        """The data plane, once it listens; none behind Envoy."""
        self.console = self._console()
        self.runtime.local["/health"] = self._health
        self.runtime.local["/ready"] = self._ready
        self._watch_config_metrics()
        show(self.telemetry.metrics, lambda: self.fleet)
        self.clusters = Clusters(environ=self._env, log=self.log)
        self.view = View(
            self.fleet,
            lambda: self.settings.fleet,
            log=self.log,
            metrics=self.telemetry.metrics,
            keys=self.keys.resolve,
            env=self._env,
            dice=random.Random().random,
            also=lambda: self.runtime.policy.asked_about,
            kubernetes=lambda settings: self.clusters.source(settings),
        )
        self.on_reload: list[Callable[[], None]] = []
        """Told after a new configuration is in force."""
        self.on_refused: list[Callable[[ConfigError], None]] = []
        """Told after one was refused."""

    def _answerers(self, engines: Engines, stores: Stores) -> dict[type[Ask[Any]], Answerer]:
        return {
            **engines.answerers(),
            **stores.answerers(),
            **self.calls.answerers(),
            **self.experience.answerers(),
            **(self.maas.answerers() if self.maas is not None else {}),
        }

    def _has_model(self, name: str) -> bool:
        policy = self.runtime.policy
        return name in policy.concrete or name in policy.virtual

    def _maas_api(self, maas: Maas) -> MaasApi:
        from wayside.gateway.maas_api import MaasApi

        def ready(model: str) -> bool:
            pool = self.fleet.pools.get(model)
            return pool is not None and bool(pool.in_rotation)

        return MaasApi(maas, lambda: self.settings, ready, self.created)

    def _console(self) -> Console | None:
        """Its pages and data, on the management listener."""
        rule = self.settings.management.console
        if not rule.enabled or not self.settings.management.enabled:
            return None
        inside = Inside(
            runtime=self.runtime,
            telemetry=self.telemetry,
            state=self.state,
            fleet=self.fleet,
            experience=self.experience,
            log=self.log,
            heads=self.management.heads,
            settings=lambda: self.settings,
            engines=lambda: self.engines,
            stores=lambda: self.stores,
            written=lambda: self.loaded,
            tried=self.tried,
            maas=self.maas,
            maas_api=self.maas_api if self.maas is not None else None,
            usage_api=self.usage_api if self.maas is not None else None,
            server=lambda: self.server,
        )
        folder = state_folder(rule, self.loaded.path, self._env)
        console = Console(inside, rule, folder, self.keys)
        bare = WORKER in self._env  # its parent has the door
        at, app = ("/console/api", console.bare) if bare else ("/console", console.app)
        self.management.console = lambda: [Mount(at, app=app())]
        return console

    def health(self) -> dict[str, Any]:
        """What production-stack's router tells of itself: its configuration, and why a newer one
        is not in force."""
        said: dict[str, Any] = {"status": "healthy"}
        if self.loaded.format == production_stack.NAME and self.loaded.text:
            said["dynamic_config"] = production_stack.shown(self.loaded.text)
        if self.state.error:
            said["dynamic_config_error"] = self.state.error
        return said

    def ready(self) -> tuple[bool, str]:
        """Whether requests are taken; a sentence for people."""
        if self.draining:
            return False, "draining: requests under way are finished, new ones go elsewhere"
        if not self.serving:
            return False, "starting"
        if self.state.error:
            return True, "serving the last good configuration; the newest was refused"
        return True, "serving"

    def watcher(self, interval_s: float = 1.0) -> Watcher[Prepared]:
        return Watcher(
            Path(self.state.path) if self.state.path else None,
            self.prepare,
            self.adopt,
            self.refuse,
            interval_s=interval_s,
            seen=self.loaded.text,
        )

    def apply(self, text: bytes) -> None:
        """Put a new configuration in force. Raises :class:`ConfigError`, changing nothing."""
        self.adopt(self.prepare(text))

    def prepare(self, text: bytes) -> Prepared:
        """Everything about a new configuration that takes time; changes nothing yet."""
        loaded = self._read(text)
        counted_together(loaded.settings, workers=WORKER in self._env)
        if self.maas is not None:
            self.maas.prepare(loaded.settings)
        elif loaded.settings.maas is not None:
            raise ConfigError.one(
                "this router was started without it, and would go on to answer everybody",
                where="maas",
                fix="restart the router; until then the last good configuration is in force",
            )
        policy = compile_policy(
            loaded.settings,
            keys=self.keys.resolve,
            created=self.created,
            needs_endpoints=self._needs_endpoints,
        )
        engines = Engines(loaded.settings.engines, self.keys.resolve, reuse=self.engines)
        load_engines(engines, policy)
        stores = Stores(
            loaded.settings.stores, self.keys.resolve, self.log, self.stores, self._count
        )
        load_stores(stores, policy)
        return Prepared(loaded, policy, engines, stores)

    def tried(self, text: bytes) -> Trial:
        """A configuration prepared as for :meth:`adopt`, to be looked at and let go of."""
        engines, stores = self.engines, self.stores
        prepared = self.prepare(text)

        def drop() -> None:
            prepared.engines.close(engines)
            prepared.stores.close(stores)

        return Trial(
            settings=prepared.loaded.settings,
            policy=prepared.policy,
            answerers=self._answerers(prepared.engines, prepared.stores),
            needs_restart=self._waiting(prepared.loaded.settings),
            drop=drop,
        )

    def _waiting(self, settings: RouterSettings) -> tuple[str, ...]:
        """The parts of ``settings`` that would wait for a restart."""
        return tuple(p for p in _FIXED if getattr(settings, p) != getattr(self._in_file, p))

    def adopt(self, prepared: Prepared) -> None:
        """Put it in force, at once."""
        loaded, policy, engines, stores = prepared
        text = loaded.text
        policy = self._with_gone(loaded.settings, policy)
        self.fleet.replace(loaded.settings.models, picking=loaded.settings.picking)
        self.fleet.urgency = Urgencies(loaded.settings.urgency, loaded.settings.identity)
        self.runtime.replace(policy, self._answerers(engines, stores))
        later = asyncio.get_running_loop().call_later
        later(_RETIRE_S, self.engines.close, engines)
        later(_RETIRE_S, self.stores.close, stores)
        self.engines, self.stores = engines, stores
        stores.open()
        self.telemetry.prices = prices(loaded.settings)
        watchers = self.experience.adopt(loaded.settings, policy)
        self.telemetry.watchers = (*watchers, *self.telemetry.always)
        self.loaded = loaded
        waiting = self._waiting(loaded.settings)
        fixed = {part: getattr(self.settings, part) for part in _FIXED}
        if self.maas is not None:
            waiting += self.maas.follow(loaded.settings)
        fixed["maas"] = None if self.maas is None else self.maas.settings
        self.settings = loaded.settings.model_copy(update=fixed)
        self.state.accepted(text, tuple(str(n) for n in loaded.notes), waiting)
        self.log(
            "reloaded",
            config=self.state.path,
            digest=self.state.digest,
            generation=self.state.generation,
            needs_restart=",".join(waiting),
        )
        for tell in self.on_reload:
            tell()

    def _with_gone(self, settings: RouterSettings, policy: Policy) -> Policy:
        """``policy`` that knows models of earlier settings, where clients expect that."""
        names = [name for name in self.runtime.policy.concrete if name not in self._ever]
        self._ever |= dict.fromkeys(names[: max(0, MAX_EVER - len(self._ever))])
        if not settings.production_stack.enabled:
            return policy
        return replace(policy, gone=frozenset(self._ever).difference(policy.concrete))

    def refuse(self, error: ConfigError) -> None:
        self.state.refuse(error)
        self.log(
            "refused",
            level="error",
            config=self.state.path,
            keeps=self.state.digest,
            error=str(error),
        )
        for tell in self.on_refused:
            tell(error)

    async def housekeeping(self) -> None:
        """Write logs, notice rotated keys and look after the fleet, as long as the process
        lives."""
        self.stores.open()
        view = asyncio.create_task(self.view.run())
        keys = asyncio.create_task(
            secrets.follow(
                self.clusters.client, lambda: self.keys.secrets, self.keys.told, self.log
            )
        )
        last = 0.0
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                self.telemetry.flush()
                now = time.monotonic()
                if now - last >= 1.0:
                    last = now
                    for path in self.keys.refresh():
                        self.log("key rotated", file=path)
                    if self.maas is not None:
                        self.maas.refresh()
                    self.certificates.refresh()
                    self._certificates()
        finally:
            view.cancel()
            keys.cancel()

    def _certificates(self) -> None:
        """Verify servers with what a rotated file of certificates says now; one that says nothing
        that can be used changes nothing, and is looked at again."""
        changed = self.fleet.rotated()
        if not changed:
            return
        try:
            self.fleet.replace(self.settings.models, picking=self.settings.picking)
        except ConfigError as error:
            if str(error) != self._unreadable:
                self.log("certificates refused", level="warning", error=str(error))
            self._unreadable = str(error)
            return
        self._unreadable = ""
        for path in changed:
            self.log("certificates rotated", file=path)

    def replicas(self) -> Replicas:
        """Who picks servers for Envoy."""
        clock = asyncio.get_running_loop().time
        return Replicas(lambda: self.fleet, clock, random.Random().random, self.prefill)

    def _split(self) -> Callable[[str, str], None]:
        decided = self.telemetry.metrics.counter(
            "wayside_disaggregation_total",
            "Requests of models with prefill servers, by who reads the prompt, and why.",
            "model",
            "decision",
        )
        return lambda model, decision: decided.add((model, decision))

    async def close(self) -> None:
        """Finish what is done after answers, then let go of the stores."""
        await self.runtime.settled()
        if self.maas is not None:
            await self.maas.close()
        self.stores.close()
        self.clusters.close()
        await asyncio.to_thread(self.telemetry.close)

    def _health(self) -> Reply:
        return _reply(200, {"status": "healthy"})

    def _ready(self) -> Reply:
        body, status = self.management.readiness()
        return _reply(status, body)

    def _watch_config_metrics(self) -> None:
        metrics, state = self.telemetry.metrics, self.state
        metrics.gauge(
            "wayside_config_last_reload_successful",
            "1 when the configuration file is in force, 0 when its newest version was refused.",
            read=lambda: [((), 0.0 if state.error else 1.0)],
        )
        metrics.gauge(
            "wayside_config_generation",
            "Configurations put in force since the start.",
            read=lambda: [((), float(state.generation))],
        )
        metrics.gauge(
            "wayside_config_refused",
            "Configurations refused since the start.",
            read=lambda: [((), float(state.refused))],
        )


def _usage_api(maas: Maas) -> UsageApi:
    from wayside.gateway.usage_api import UsageApi

    return UsageApi(maas)


def _maas(settings: RouterSettings, env: Mapping[str, str], log: Log) -> Maas | None:
    """Who asks, and how much; imported only where that is asked for."""
    if settings.maas is None:
        return None
    from wayside.maas import Maas

    return Maas(settings, env, log)


def counted_together(settings: RouterSettings, *, workers: bool) -> None:
    """Limits that each of several ``workers`` counts alone are that many times what they say.
    Raises :class:`ConfigError`."""
    if workers and settings.maas is not None and settings.maas.limits.store == "memory":
        raise ConfigError.one(
            "is memory, where each worker counts alone: with --workers N everybody might take N "
            "times their limit",
            where="maas.limits.store",
            fix="name a store of kind redis, which workers share, or start one worker",
        )


def load_engines(engines: Engines, policy: Policy) -> None:
    """Make every engine that the policy asks. Raises :class:`ConfigError`."""
    problems = []
    for name in sorted(policy.engines):
        try:
            engines.load([name], [bank for bank in policy.banks if bank.engine == name])
        except (OSError, ValueError, ImportError, WaysideError) as error:
            problems.append(Problem(f"cannot be loaded: {error}", f"engines.{name}"))
    for at, taught in policy.taught:
        try:
            engines.selectors.load(taught)
        except ConfigError as error:
            problems += [Problem(p.what, f"{at}.{p.where}", p.fix) for p in error.problems]
        except (OSError, ValueError, ImportError, WaysideError):
            pass  # its embedder cannot be made: told above
    if problems:
        raise ConfigError(problems)


def load_stores(stores: Stores, policy: Policy) -> None:
    """Make every store that the policy asks. Raises :class:`ConfigError`."""
    problems = []
    for name in sorted(policy.stores):
        try:
            stores.load([name])
        except (OSError, ValueError, ImportError, WaysideError) as error:
            problems.append(Problem(f"cannot be opened: {error}", f"stores.{name}"))
    if problems:
        raise ConfigError(problems)


def prices(settings: RouterSettings) -> dict[str, Price]:
    """Model prices as telemetry counts with them."""
    found = {}
    for name, model in settings.models.items():
        if model.price is not None:
            p = model.price
            prompt = p.prompt_per_1m
            found[name] = Price(
                currency=p.currency,
                prompt=prompt,
                completion=p.completion_per_1m,
                cached=prompt if p.cached_input_per_1m is None else p.cached_input_per_1m,
                written=prompt if p.cache_write_per_1m is None else p.cache_write_per_1m,
            )
    return found


def log_of(settings: RouterSettings) -> Log:
    """The log on standard error, as the settings want it."""
    return Log(sys.stderr, console=_console(settings, sys.stderr), level=settings.log.level)


def _access(settings: RouterSettings, log: Log) -> Log | None:
    where = settings.log.access
    if where == "off":
        return None
    if where == "-":
        return log
    try:
        stream = Path(where).open("a", encoding="utf-8")  # noqa: SIM115 - lives with the process
    except OSError as error:
        raise ConfigError.one(
            f"cannot write {where}: {error.strerror}", where="log.access", fix="- or off"
        ) from error
    return Log(stream, console=settings.log.format == "console")


def _console(settings: RouterSettings, stream: TextIO) -> bool:
    return stream.isatty() if settings.log.format == "auto" else settings.log.format == "console"


def _reply(status: int, body: object) -> Reply:
    return Reply(status=status, body=encode(body), record=Record(path="local"))


async def until(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Wait for ``stop``; a task that ends first is an error worth stopping for."""
    waiting = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for task in tasks:
        if task in done:
            task.result()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
