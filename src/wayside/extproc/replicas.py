"""Which of a model's servers Envoy sends a request to, where `picking` says how one is chosen.

Envoy is told with the header of the endpoint-picker protocol, which its ``override_host`` policy
goes by. It goes by addresses: a server that is named is one whose name has been looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from wayside.fleet import Dice, Fleet, Pool, Replica
from wayside.fleet.resolve import TTL_S, is_ip
from wayside.runtime.prefill import Prefill
from wayside.vocab.endpoint import Need
from wayside.vocab.outcome import Forward, HeaderPairs

HEADER: Final = "x-gateway-destination-endpoint"


class Chosen:
    """The server of one request, from the moment it is told until the request is over.

    ``hosts`` is what Envoy reads: ``ip:port``, several with a comma where its name has several
    addresses.
    """

    __slots__ = ("_began", "_need", "_over", "_pool", "_replica", "hosts", "reading")

    def __init__(
        self,
        pool: Pool,
        replica: Replica,
        need: Need,
        hosts: str,
        reading: Coroutine[Any, Any, Forward] | None = None,
    ) -> None:
        self._pool, self._replica, self._need, self.hosts = pool, replica, need, hosts
        self.reading = reading
        """Wait for this, for the request as it goes on: another server reads the prompt."""
        self._began, self._over = need.now, False
        pool.began(replica, need)

    @property
    def report(self) -> HeaderPairs:
        """Headers for the client's response."""
        profile = self._pool.profile
        return profile.says(self._need, self._replica) if profile and profile.tells else ()

    def answered(self, now: float) -> None:
        """Its answer began."""
        if self._pool.profile is not None:
            self._pool.profile.answered(self._need, self._replica, now - self._began)

    def ended(self, now: float, *, status: int, failed: bool) -> None:
        """The request is over. ``failed``: no answer came from there. Only the first call
        counts."""
        if self._over:
            return
        self._over = True
        pool, replica = self._pool, self._replica
        if failed:
            pool.failed(replica, now)
        elif status >= 500:
            pool.erred(replica, now)
        elif 0 < status < 400:
            replica.answers()
            replica.completed()
        pool.ended(replica, self._need)


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

    @property
    def now(self) -> float:
        return self._clock()

    def choose(self, forward: Forward, headers: Mapping[str, str]) -> Chosen | None:
        """A server for this request, or ``None``: Envoy chooses."""
        fleet = self._fleet()
        pool = fleet.pools.get(forward.target.name)
        if pool is None or (pool.profile is None and pool.prefill is None):
            return None
        now = self._clock()
        need = pool.need(
            forward.target.upstream_name, forward.body, headers, now, self._dice, forward.urgency
        )
        replica = pool.pick(now, self._dice, (), need)
        if replica is None or need is None:
            return None
        address = replica.address
        known = [address.host] if is_ip(address.host) else None
        known = known or fleet.resolver.known(address.host, address.port)
        if not known:
            return None
        hosts = ",".join(
            f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
            for host in known
        )
        prefill, reading = self._prefill, None
        if prefill is not None and prefill.wanted(forward, pool, need):
            reading = prefill.run(forward, pool, need)
        return Chosen(pool, replica, need, hosts, reading)

    async def look_up(self) -> None:
        """Keep the addresses of named servers known, for as long as this runs."""
        while True:
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
            await asyncio.sleep(TTL_S)
