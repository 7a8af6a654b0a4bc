"""Every address of a DNS name is a server; looked up again and again."""

from __future__ import annotations

import asyncio

from wayside.fleet.resolve import Lookup, system_lookup
from wayside.fleet.sources import Tell, Warn
from wayside.settings.fleet import DnsSettings
from wayside.settings.model import EndpointSettings

LOOKUP_S = 10.0
"""A resolver that has not answered by then has failed."""


class DnsSource:
    """A headless Service, or any name with several A and AAAA records.

    A lookup that fails, or finds nothing, changes nothing: a resolver that is down must not take
    the servers with it. Who is gone is found out by health checks, and by requests.
    """

    def __init__(self, settings: DnsSettings, lookup: Lookup | None = None) -> None:
        self._settings, self._lookup = settings, lookup or system_lookup

    async def follow(self, tell: Tell, warn: Warn) -> None:
        settings = self._settings
        known: list[str] = []
        while True:
            try:
                async with asyncio.timeout(LOOKUP_S):
                    found = sorted(set(await self._lookup(settings.name, settings.port)))
            except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
                warn(f"{settings.name} cannot be looked up: {str(error) or 'no answer'}")
            else:
                if not found:
                    warn(f"{settings.name} has no address")
                else:
                    warn("")
                    if found != known:
                        known = found
                        tell([self._endpoint(address) for address in found])
            await asyncio.sleep(settings.interval_s)

    def _endpoint(self, address: str) -> EndpointSettings:
        s = self._settings
        host = f"[{address}]" if ":" in address else address
        return EndpointSettings(url=f"{s.scheme}://{host}:{s.port}{s.path}")
