"""Active health: asks servers how they are, before a request finds out.

The other half is passive (:class:`BreakerSettings`): what becomes of requests. A server takes
requests while neither half speaks against it; where every server of a model is left out, the
least bad one is tried all the same, since a wrong path must not take a model off the air.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from wayside.fleet.page import PageError, beside
from wayside.fleet.pool import Pool
from wayside.fleet.replica import Replica
from wayside.fleet.rounds import Rounds, Visit, pools
from wayside.settings.model import ModelSettings

if TYPE_CHECKING:
    from wayside.fleet import Fleet

HEALTH: Final = "health"
MOST_BYTES: Final = 64 << 10

Tell = Callable[[str, str, Replica, str], None]
"""What happened (a constant phrase), the model, the server, and why."""


class _Sleep(msgspec.Struct):
    is_sleeping: bool = False


class Prober:
    """Leaves servers out that fail ``health_check``, and takes them back."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        tell: Tell = lambda *_: None,
        failed: Callable[[str], None] = lambda _: None,
        dice: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """``tell`` hears of servers that go and come back, ``failed`` of every failure."""
        self._fleet, self._tell, self._failed = fleet, tell, failed
        self._asleep: set[Replica] = set()
        """Those that this put to sleep, so that they wake when it looks no more."""
        self._rounds = Rounds(fleet, _every, self._ask, self._let_go, port=_port, dice=dice)

    async def run(self) -> None:
        """For as long as the task lives."""
        await self._rounds.run()

    async def _ask(
        self, model: str, settings: ModelSettings, replica: Replica, visit: Visit
    ) -> None:
        check = settings.health_check
        if check is None:
            return
        problem = reason = ""
        try:
            path = beside(replica.address.base_path, check.path)
            answer = await visit.pages.get(path, timeout_s=check.timeout_s, most=MOST_BYTES)
            if not 200 <= answer.status < 300:
                reason, problem = "status", f"{check.path} answered {answer.status}"
        except PageError as error:
            reason, problem = error.reason, f"{check.path}: {error}"
        visit.troubled = bool(problem)
        if problem:
            self._failed(reason)
            visit.successes, visit.misses = 0, visit.misses + 1
            if visit.misses >= check.failures and HEALTH not in replica.down:
                self._set(replica, well=False)
                self._tell("server left out", model, replica, problem)
            return
        visit.successes, visit.misses = visit.successes + 1, 0
        if visit.successes >= check.successes and HEALTH in replica.down:
            self._set(replica, well=True)
            self._tell("server is back", model, replica, f"{check.path} answered {answer.status}")
        if check.asleep_path is not None:
            await self._look_asleep(replica, visit, check.asleep_path, check.timeout_s)
        elif replica in self._asleep:
            self._sleeps(replica, asleep=False)

    async def _look_asleep(
        self, replica: Replica, visit: Visit, path: str, timeout_s: float
    ) -> None:
        """A server that does not say whether it sleeps (vLLM has the page in its development mode
        only) is as it was, and no less well."""
        try:
            page = await visit.pages.text(
                beside(replica.address.base_path, path), timeout_s=timeout_s, most=MOST_BYTES
            )
            asleep = msgspec.json.decode(page, type=_Sleep).is_sleeping
        except PageError as error:
            self._failed(error.reason)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            self._failed("content")
        else:
            self._sleeps(replica, asleep=asleep)

    def _sleeps(self, replica: Replica, *, asleep: bool) -> None:
        if asleep:
            self._asleep.add(replica)
        else:
            self._asleep.discard(replica)
        if asleep != replica.asleep:
            for pool in _pools_of(self._fleet, replica):
                pool.sleeps(replica, asleep=asleep)

    def _let_go(self, replica: Replica) -> None:
        if HEALTH in replica.down:
            self._set(replica, well=True)
        if replica in self._asleep:
            self._sleeps(replica, asleep=False)

    def _set(self, replica: Replica, *, well: bool) -> None:
        set_down(self._fleet, replica, HEALTH, down=not well)


def set_down(fleet: Fleet, replica: Replica, why: str, *, down: bool) -> None:
    """Leave a replica out for ``why``, or no longer, wherever it serves."""
    now = asyncio.get_running_loop().time()
    for pool in _pools_of(fleet, replica):
        if down:
            pool.down(replica, why, now)
        else:
            pool.well(replica, why, now)


def _pools_of(fleet: Fleet, replica: Replica) -> list[Pool]:
    return [pool for _, pool in pools(fleet) if replica in pool.replicas]


def _every(settings: ModelSettings) -> float | None:
    return None if settings.health_check is None else settings.health_check.interval_s


def _port(settings: ModelSettings) -> int | None:
    return None if settings.health_check is None else settings.health_check.port
