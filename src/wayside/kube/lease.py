"""One of several leads: election by a Lease (``coordination.k8s.io/v1``), safe under bad clocks.

The rules are client-go's, so that ours and Go programs may stand for the same Lease. Nobody
compares clocks: what a Lease says of times is for people to read. A candidate counts the holder's
time from when it *saw* the Lease change, the holder counts its own from before it *sent* the
renewal that succeeded, and every write carries the version that was read. So the old leader has
stopped before a new one begins, as long as clocks go equally fast within
:attr:`Terms.lease_s` / :attr:`Terms.renew_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from wayside.kube.client import Client, Object
from wayside.kube.errors import AlreadyExists, Conflict, Forbidden, KubeError, NotFound
from wayside.kube.watch import Log
from wayside.vocab.objects import section, text, whole
from wayside.vocab.resource import LEASES

RELEASE_S: Final = 2.0
"""Giving up a Lease is tried for so long; the time of one that could not be given up runs out."""
_SAID: Final = ("holderIdentity", "acquireTime", "renewTime", "leaseTransitions")
_FOREVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long a leader leads, in seconds; the defaults are controller-runtime's.

    A leader renews every ``retry_s``, and leads no more when none has succeeded for ``renew_s``.
    Others wait ``lease_s`` without seeing one (written into the Lease in whole seconds: others'
    terms may differ from ours).
    """

    lease_s: int = 15
    renew_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_s > self.renew_s > self.retry_s > 0:
            raise ValueError("lease_s > renew_s > retry_s > 0 is wanted")


def steady() -> float:
    """Seconds of a clock that nobody sets, and that goes on while the machine sleeps (where there
    is one)."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def somebody() -> str:
    """An identity that nobody else has: also not this pod before it was restarted."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Elector:
    """Stands for the Lease ``name`` of ``namespace`` while :meth:`run` runs.

    :attr:`leads` is looked at before anything that only a leader may do: it becomes false by the
    clock, also when this process was stopped in between. ``changed`` is called when it may have
    changed, and must not wait. When :meth:`run` has been cancelled and all that only a leader
    does has ended, :meth:`release` lets the next one begin at once.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        *,
        identity: str = "",
        terms: Terms | None = None,
        changed: Callable[[], None] | None = None,
        log: Log | None = None,
        clock: Callable[[], float] = steady,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.namespace = name, namespace
        self.identity = identity or somebody()
        self.terms = terms or Terms()
        self.holder = ""
        """Who leads, as far as the Lease was seen: an identity, empty for nobody."""
        self._client, self._log = client, log or _silent
        self._changed, self._clock, self._dice = changed, clock, dice
        self._lease: Object | None = None
        self._seen: tuple[object, ...] = ()
        self._changes = 0
        self._free_at = -_FOREVER
        self._until = -_FOREVER
        self._led = False
        self._turned = asyncio.Event()
        self._problem = ""

    @property
    def transitions(self) -> int:
        """How often the Lease changed hands, as far as it was seen: it only grows, so that what
        one leader wrote can be told from what an older one did."""
        return self._changes

    @property
    def leads(self) -> bool:
        """Whether we lead, now."""
        return self._clock() < self._until

    async def run(self) -> None:
        """Stand until cancelled: become leader when that is free, renew, step down when that
        fails, and stand again."""
        while True:
            limit = self.terms.renew_s / 2  # a connection that hangs leaves time for another
            if self.leads:
                limit = min(limit, self._until - self._clock())
            try:
                async with asyncio.timeout(limit):
                    await self.attempt()
            except TimeoutError:
                self._lease = None  # what was sent may have been done
            self._notice()
            await self._rest()

    async def attempt(self) -> bool:
        """Try once to become leader, or to stay it; whether we lead."""
        try:
            try:
                await self._attempt()
            except Conflict:  # written meanwhile, perhaps by us: look who holds it
                self._lease = None
                await self._attempt()
            self._problem = ""
        except KubeError as error:
            self._lease = None
            if not isinstance(error, Conflict):
                self._complain(error)
        return self.leads

    async def release(self) -> None:
        """Give up what we lead, so that nobody has to wait for our time to run out. Only once
        everything has ended that only a leader may do, and :meth:`run` has been cancelled."""
        self._until = -_FOREVER
        self._notice()
        if self.holder != self.identity:
            return
        self.holder = ""
        try:
            async with asyncio.timeout(RELEASE_S):
                lease = await self._client.get(LEASES, self.name, self.namespace)
                spec = section(lease, "spec")
                if text(spec.get("holderIdentity")) == self.identity:
                    gone = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    body = {**lease, "spec": {**spec, **gone}}
                    await self._client.replace(LEASES, body, self.namespace)
        except (KubeError, TimeoutError) as error:
            self._log("lease not given up", level="warning", lease=self.name, why=str(error))

    async def while_leading(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run :meth:`run`, and ``work()`` each time that we lead; then release. Ends when ``work``
        ends by itself, and raises what it raises.

        ``work`` is cancelled when we lead no more. ``RuntimeError`` where it has not ended by the
        time that another may lead: the process has to, then.
        """
        standing = asyncio.create_task(self.run())
        try:
            while True:
                await _first(standing, asyncio.create_task(self._turn(True)))
                if await self._run_led(work, standing):
                    return
        finally:
            standing.cancel()
            await asyncio.gather(standing, return_exceptions=True)
            await self.release()

    # --- inner workings ------------------------------------------------------------------------

    async def _run_led(
        self, work: Callable[[], Coroutine[Any, Any, None]], standing: asyncio.Task[None]
    ) -> bool:
        """Whether ``work`` ended by itself."""
        task = asyncio.create_task(work())
        try:
            await _first(standing, task, asyncio.create_task(self._turn(False)))
            by_itself = task.done()
        finally:
            task.cancel()
            await self._ended(task)
        if not task.cancelled():
            task.result()
        return by_itself

    async def _ended(self, task: asyncio.Task[None]) -> None:
        """``task`` has time as long as we lead, and from our deadline to that of the others."""
        grace_s = self.terms.lease_s - self.terms.renew_s
        ends = self._clock() + grace_s
        while not task.done():
            if self.leads:
                ends = self._until + grace_s
            left = ends - self._clock()
            if left <= 0:
                raise RuntimeError("what only a leader may do goes on after we lead no more")
            await asyncio.wait([task], timeout=left)

    async def _turn(self, leads: bool) -> None:
        """Until we lead, or no more. Looks at the clock, too: nothing may tell of its passing."""
        while self.leads is not leads:
            self._turned.clear()
            left = self._until - self._clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0.001) if left > 0 else None):
                    await self._turned.wait()

    async def _attempt(self) -> None:
        if self._lease is None or not self.leads:
            try:
                self._see(await self._client.get(LEASES, self.name, self.namespace))
            except NotFound:
                self._lease = None
        if self.holder not in ("", self.identity) and self._clock() < self._free_at:
            # Also where its Lease was deleted: that ends nobody's time who holds it.
            return
        began = self._clock()
        if self._lease is None:
            with contextlib.suppress(AlreadyExists):
                await self._written(
                    self._client.create(LEASES, self._made(), self.namespace), began
                )
            return
        spec = dict(section(self._lease, "spec"))
        now = _now()
        if text(spec.get("holderIdentity")) != self.identity:
            spec |= {"acquireTime": now, "leaseTransitions": self._changes + 1}
        spec |= self._claim(now)
        body = {**self._lease, "spec": spec}
        await self._written(self._client.replace(LEASES, body, self.namespace), began)

    async def _written(self, write: Awaitable[Object], began: float) -> None:
        """``began``: before the write was sent, from which others cannot count earlier."""
        self._see(await write)
        if self.holder == self.identity:
            self._until = began + self.terms.renew_s

    def _see(self, lease: Object) -> None:
        """What the Lease says. Whatever in it changes is a sign of life of its holder."""
        self._lease = lease
        spec = section(lease, "spec")
        seen = tuple(spec.get(name) for name in _SAID)
        if seen != self._seen:
            self._seen = seen
            seconds = whole(spec.get("leaseDurationSeconds"), 1, 1 << 31) or self.terms.lease_s
            self._free_at = self._clock() + seconds
        self._changes = whole(spec.get("leaseTransitions"), 0, 1 << 31) or 0
        holder = text(spec.get("holderIdentity"))
        if holder != self.identity:
            self._until = -_FOREVER  # somebody took it from us, or gave it away
        if holder != self.holder:
            self.holder = holder
            if holder:
                self._log("leader", lease=self.name, holder=holder, us=holder == self.identity)

    def _made(self) -> Object:
        now = _now()
        return {
            "apiVersion": LEASES.api_version,
            "kind": "Lease",
            "metadata": {"name": self.name},
            "spec": {**self._claim(now), "acquireTime": now, "leaseTransitions": 0},
        }

    def _claim(self, now: str) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.terms.lease_s,
            "renewTime": now,
        }

    async def _rest(self) -> None:
        """Until the next attempt; a leader whose time ends before that says so in time."""
        ends = self._clock() + self.terms.retry_s * (1 + 0.2 * self._dice())
        if self._until < ends:
            await asyncio.sleep(max(0.0, min(self._until, ends) - self._clock()))
            self._notice()
        await asyncio.sleep(max(0.0, ends - self._clock()))

    def _notice(self) -> None:
        leads = self.leads
        if leads == self._led:
            return
        self._led = leads
        self._log(
            "leading" if leads else "leading no more",
            level="info" if leads else "warning",
            lease=self.name,
            identity=self.identity,
        )
        self._turned.set()
        if self._changed is not None:
            self._changed()

    def _complain(self, error: KubeError) -> None:
        """Once for each problem."""
        if str(error) == self._problem:
            return
        self._problem = str(error)
        fix = ""
        if isinstance(error, Forbidden):
            fix = "a Role has to allow get, create and update of leases (coordination.k8s.io)"
        self._log("lease", level="warning", lease=self.name, why=str(error), fix=fix)


def _now() -> str:
    """A MicroTime, for people."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _first(*tasks: asyncio.Task[None]) -> None:
    """Until one of them is done. The first should not end at all, so that what it raises is
    raised; the last is cancelled."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        tasks[-1].cancel()


def _silent(event: str, **fields: object) -> None:
    """Where nobody wants to hear of it."""
