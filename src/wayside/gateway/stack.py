"""What else the data plane serves beside models: files and batches, and what production-stack's
router had there. Put in place when the listener is open, and taken down before it drains.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from wayside import __version__
from wayside.dialects import Edit
from wayside.fleet import Replica
from wayside.flow import Policy
from wayside.gateway import clients_api
from wayside.gateway.api import Endpoint
from wayside.gateway.batch_rows import Rows
from wayside.gateway.batch_runner import Runner
from wayside.gateway.batches_api import BatchesApi
from wayside.gateway.door import Door
from wayside.gateway.engine_stats import EngineStats
from wayside.gateway.engines_api import EnginesApi, Pinned, servers, url_of
from wayside.gateway.files_api import FilesApi
from wayside.gateway.further import Found, Further, Handler, identity_of, raw, told
from wayside.gateway.passing_api import PATHS as PASSED
from wayside.gateway.passing_api import PassingApi
from wayside.gateway.server import HttpServer
from wayside.gateway.sleep_api import PATHS as SLEEP
from wayside.gateway.sleep_api import SleepApi
from wayside.runtime import Runtime
from wayside.settings import RouterSettings
from wayside.telemetry import Exchange, Telemetry
from wayside.telemetry.machine import Machine
from wayside.telemetry.production_stack import StackMetrics
from wayside.vocab.errors import ConfigError, RequestError
from wayside.vocab.headers import CREDENTIALS, USER_KEYS
from wayside.vocab.outcome import Forward, Outcome, Request

SECRET: Final = frozenset((*CREDENTIALS, *USER_KEYS, "cookie", "proxy-authorization"))
"""Headers whose values are never logged."""
PRUNE_S: Final = 60.0
"""How often servers that are gone leave the metrics when nobody reads them."""
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Stack:
    """All of it. ``settings`` are those in force, ``health`` what ``/health`` tells."""

    def __init__(
        self,
        server: HttpServer,
        runtime: Runtime,
        telemetry: Telemetry,
        settings: Callable[[], RouterSettings],
        health: Callable[[], Mapping[str, Any]],
        api: Iterable[Endpoint] = (),
    ) -> None:
        """``api``: endpoints of the management API that are served here, too. Raises
        :class:`ConfigError` for a folder that cannot be used."""
        self._server, self._runtime, self._telemetry = server, runtime, telemetry
        self._settings, self._health = settings, health
        self._further = Further()
        self._rows: Rows | None = None
        self._runner: Runner | None = None
        self._metrics: StackMetrics | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._passing = PassingApi(self._policy, runtime.drive)
        for path in PASSED:
            self._further.add("POST", path, lambda request, _: self._passing.asked(request))
        clients_api.add_to(self._further, api)
        self._files_and_batches()
        if settings().production_stack.enabled:
            self._production_stack()
        self._beneath = runtime.further
        if self._beneath is not None:
            self._further.add_last(self._beneath)
        runtime.further = self._further

    def _policy(self) -> Policy:
        return self._runtime.policy

    async def stop(self) -> None:
        """Leave batches to whoever comes next."""
        self._runtime.further = self._beneath
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        if self._runner is not None:
            await self._runner.stop()
        if self._rows is not None:
            await asyncio.to_thread(self._rows.close)

    def follow(self) -> None:
        """A reload is in force."""
        if self._metrics is not None:
            self._metrics.prune()

    # Files and batches

    def _files_and_batches(self) -> None:
        settings = self._settings().batches
        if not settings.enabled:
            return
        self._rows = rows = Rows(settings)
        try:
            rows.open()
        except OSError as error:
            raise ConfigError.one(
                f"cannot keep files in {rows.folder}: {error.strerror or error}",
                where="batches.folder",
                fix="name a folder that this process may write to",
            ) from error
        self._runner = runner = Runner(rows, self._server, self._telemetry.log)
        identity = identity_of(self._settings().identity)
        say = self._telemetry.log
        files = FilesApi(rows, identity, say, self._unsent)
        files.add_to(self._further)
        BatchesApi(rows, files, identity, runner.wake, say).add_to(self._further)
        runner.start()

    def _unsent(self) -> int:
        return sum(door.transport.get_write_buffer_size() for door in self._server.doors)

    # production-stack

    def _production_stack(self) -> None:
        fleet, telemetry, further = self._server.fleet, self._telemetry, self._further
        engines = EnginesApi(fleet)
        sleep = SleepApi(engines, self._policy)
        add = further.add
        add("GET", "/health", lambda _, __: told(self._health()))
        self._runtime.local["/health"] = lambda: told(self._health())
        add("GET", "/version", lambda _, __: told({"version": __version__}))
        add("GET", "/metrics", lambda _, __: self._shown())
        if self._settings().production_stack.engines:
            add("GET", "/engines", self._for_admins(lambda _, __: engines.listed()))
            for path, method in SLEEP.items():
                add(method, path, self._for_admins(lambda request, _: sleep.asked(request)))
            pins = Pinned(engines, self._runtime.routed)
            further.add_last(pins)
            for path in PASSED:
                further.add("POST", path, lambda request, _: self._passed(request, pins))
        stats = EngineStats(fleet, lambda: self._settings().production_stack.engine_stats_s)
        self._chores.append(asyncio.create_task(stats.run()))
        self._metrics = metrics = StackMetrics(
            telemetry.metrics,
            lambda: servers(fleet, stats.known()),
            lambda: self._settings().production_stack.stats_window_s,
            telemetry.log,
        )
        Machine().show(telemetry.metrics)
        telemetry.always = (*telemetry.always, metrics)
        telemetry.watchers = (*telemetry.watchers, metrics)
        self._chores.append(asyncio.create_task(self._prune()))
        self._server.attempting = self._attempting
        if self._settings().production_stack.log_stats_s is not None:
            self._chores.append(asyncio.create_task(self._report()))

    def _passed(self, request: Request, pins: Pinned) -> Found:
        return pins.there(request, self._passing.asked) or self._passing.asked(request)

    def _shown(self) -> Outcome:
        self.follow()
        return raw(self._telemetry.metrics.text(), content_type=_TEXT)

    def _for_admins(self, handler: Handler) -> Handler:
        """Only for members of ``admin_groups``, where it is known who asks."""

        def guarded(request: Request, id: str) -> Found:
            settings = self._settings()
            identity, caller = settings.identity, request.caller
            if identity.trusted or caller is not None:
                said = request.headers.get(identity.groups_header.lower(), "").split(",")
                groups = {group.strip() for group in (caller.groups if caller else said)} - {""}
                if groups.isdisjoint(settings.production_stack.admin_groups):
                    raise RequestError(
                        "Only members of production_stack.admin_groups may do this.",
                        status=403,
                        kind="permission_error",
                        code="not_allowed",
                    )
            return handler(request, id)

        return guarded

    def _attempting(self, door: Door, forward: Forward, replica: Replica) -> None:
        exchange, metrics = door.exchange, self._metrics
        if metrics is None or not isinstance(exchange, Exchange) or door.head is None:
            return
        if forward.record.path != "upstream":
            return
        key = self._settings().production_stack.session_key
        session = _session(key, door.head.headers, forward.body) if key else None
        metrics.attempting(exchange, replica.name, url_of(replica), session)

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_S)
            self.follow()

    async def _report(self) -> None:
        while True:
            every = self._settings().production_stack.log_stats_s
            await asyncio.sleep(every or 60.0)
            if every is not None and self._metrics is not None:
                self._metrics.report()


def _session(key: str, headers: Mapping[str, str], body: bytes) -> str | None:
    """The header's value, else that of the body's field; of a key, what cannot be used as one."""
    found = headers.get(key.lower())
    if found and key.lower() in SECRET:
        return f"sha256:{hashlib.sha256(found.encode('utf-8', 'replace')).hexdigest()[:16]}"
    if found or key.encode() not in body:
        return found
    try:
        said = Edit(body).get(key)
    except RequestError:
        return None
    return str(said) if isinstance(said, str | int) else None
