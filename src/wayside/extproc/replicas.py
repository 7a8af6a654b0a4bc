"""Which of a model's servers Envoy sends a request to, where `picking` says how one is chosen.

Envoy is told with the header of the endpoint-picker protocol, which its ``override_host`` policy
goes by. It goes by addresses: a server that is named is one whose name has been looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from wayside.fleet import Dice, Fleet, Pool, Replica
from wayside.fleet.resolve import TTL_S, is_ip
from wayside.runtime.prefill import Place, Prefill, Read
from wayside.vocab.endpoint import Need
from wayside.vocab.headers import DESTINATION
from wayside.vocab.outcome import Forward, HeaderPairs

HEADER: Final = DESTINATION
_SOON_S: Final = 0.25
"""The least time between two looks at the names of servers."""


class Chosen:
    """The server of one request, from the moment it is told until the request is over.

    ``hosts`` is what Envoy reads: ``ip:port``, several with a comma where its name has several
    addresses.
    """

    __slots__ = (
        "_began",
        "_fleet",
        "_need",
        "_over",
        "_place",
        "_pool",
        "_replica",
        "_status",
        "hosts",
        "reading",
    )

    def __init__(
        self,
        fleet: Fleet,
        pool: Pool,
        replica: Replica,
        need: Need,
        hosts: str,
        reading: Coroutine[Any, Any, Read] | None = None,
    ) -> None:
        self._fleet, self._pool, self._replica = fleet, pool, replica
        self._need, self.hosts = need, hosts
        self.reading = reading
        """Wait for this, for the request as it goes on: another server reads the prompt."""
        self._began, self._over = need.now, False
        self._status = 0
        self._place: Place | None = None
        pool.began(replica, need)

    @property
    def report(self) -> HeaderPairs:
        """Headers for the client's response, once it has begun."""
        return self._pool.says(self._replica, self._need)

    def sent(self, now: float, place: Place | None = None) -> None:
        """The request is on its way there, and has a place where its prompt is read."""
        self._began, self._place = now, place
        self._need.let_go()

    def answered(self, now: float, status: int, by: str = "") -> None:
        """Its answer began. ``by`` is the address it came from, where Envoy says that."""
        self._leave_place()
        if by and by not in self.hosts.split(",") and not self._went_elsewhere(by, now):
            return
        self._status = status
        if status < 400:
            self._pool.answered(self._replica, self._need, now - self._began)

    def _leave_place(self) -> None:
        if self._place is not None:
            self._place.leave()

    def _went_elsewhere(self, by: str, now: float) -> bool:
        """Envoy could not have it answered where it was told to, and found another server;
        whether that is known here."""
        pool = self._pool
        pool.failed(self._replica, now)
        found = [r for r in pool.replicas if by in _hosts(self._fleet, r).split(",")]
        if found:
            pool.ended(self._replica, self._need)
            self._replica = found[0]
            pool.began(self._replica, self._need)
        return bool(found)

    def ended(self, now: float, *, failed: bool = False, unfinished: bool = False) -> None:
        """The request is over. ``failed``: no answer came from there; ``unfinished``: it broke
        off, there or at the client. Only the first call counts."""
        if self._over:
            return
        self._over = True
        self._leave_place()
        pool, replica, status = self._pool, self._replica, self._status
        if failed:
            pool.failed(replica, now)
        elif status >= 500:
            pool.erred(replica, now)
        elif status:
            replica.answers()
            replica.answered(now)
            if not unfinished and status != 429:
                replica.completed()
        pool.ended(replica, self._need)


class NoServer(Exception):
    """The filters leave no server, and the settings say that none else may take the request."""


class Replicas:
    """Picks among the fleet in force. ``clock`` is in seconds."""

    def __init__(
        self,
        fleet: Callable[[], Fleet],
        clock: Callable[[], float],
        dice: Dice,
        prefill: Prefill | None = None,
    ) -> None:
        self._fleet, self._clock, self._dice = fleet, clock, dice
        self._prefill = prefill
        self._missing = asyncio.Event()
        """Somebody wanted a server whose addresses are not known."""

    @property
    def now(self) -> float:
        return self._clock()

    def choose(self, forward: Forward, headers: Mapping[str, str]) -> Chosen | None:
        """A server for this request, or ``None``: Envoy chooses. Raises :class:`NoServer` where
        Envoy, which knows no filters, must not."""
        fleet = self._fleet()
        pool = fleet.pools.get(forward.target.name)
        if pool is None or (pool.profile is None and pool.prefill is None):
            return None
        now = self._clock()
        need = pool.need(
            forward.target.upstream_name, forward.body, headers, now, self._dice, forward.urgency
        )
        replica = pool.pick(now, self._dice, (), need)
        if need is None:
            return None
        hosts = "" if replica is None else _hosts(fleet, replica)
        if replica is not None and not hosts:
            self._missing.set()
        if replica is None or not hosts:
            picking = pool.settings.picking
            if picking is not None and picking.when_none == "refuse":
                raise NoServer
            return None
        prefill, reading = self._prefill, None
        if prefill is not None and prefill.wanted(forward, pool, need):
            reading = prefill.run(forward, pool, need, replica)
        return Chosen(fleet, pool, replica, need, hosts, reading)

    async def look_up(self) -> None:
        """Keep the addresses of named servers known, for as long as this runs; of those that are
        asked for and not known yet, soon."""
        while True:
            self._missing.clear()
            fleet = self._fleet()
            names = {
                (replica.address.host, replica.address.port)
                for pool in fleet.pools.values()
                if pool.profile is not None or pool.prefill is not None
                for replica in pool.replicas
                if not is_ip(replica.address.host)
            }
            asked = [fleet.resolver.addresses(host, port) for host, port in names]
            await asyncio.gather(*asked, return_exceptions=True)
            await asyncio.sleep(_SOON_S)
            with suppress(TimeoutError):
                # Not wait_for: in 3.11 it loses a cancellation that comes with the news.
                async with asyncio.timeout(TTL_S):
                    await self._missing.wait()


def _hosts(fleet: Fleet, replica: Replica) -> str:
    """Its addresses in the words in which Envoy knows them; empty while there are none."""
    host, port = replica.address.host, replica.address.port
    known = [host] if is_ip(host) else fleet.resolver.known(host, port)
    addresses = [ip_address(found.partition("%")[0]) for found in known]
    return ",".join([f"[{a}]:{port}" if a.version == 6 else f"{a}:{port}" for a in addresses])
