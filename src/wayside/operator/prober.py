"""URLs that are asked now and then, for as long as somebody's ``desired`` asks for them.

Each ask is a connection of its own, as a kubelet's is: what is wanted to know is whether a new one
is taken. No redirect is followed.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

import httptools

from wayside.net.h1 import Connection, TooLarge
from wayside.operator.looks import Asker
from wayside.resources import Probe, Probed
from wayside.settings.address import Address, parse_address

AT_ONCE: Final = 64
"""Asks under way of servers that answered last, and as many of those that did not: servers that
hang wait for each other, and nobody else waits for them."""
MAX_BODY: Final = 64 << 10
MAX_PAGE: Final = 2 << 20
"""Of a body of which only some lines are kept."""
MAX_PROBES: Final = 10_000
"""Further URLs have no answer."""
FIRST_S: Final = 0.5
"""The first ask comes within so long."""


class Prober:
    """Asks what :meth:`want` says is wanted; ``changed`` hears who wanted an answer that is
    another one than before, and must not wait."""

    def __init__(
        self,
        changed: Callable[[Iterable[Asker]], None],
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._changed, self._dice = changed, dice
        self._answers: dict[Probe, Probed] = {}
        self._tasks: dict[Probe, asyncio.Task[None]] = {}
        self._who: dict[Probe, set[Asker]] = {}
        self._wanted: dict[Asker, frozenset[Probe]] = {}
        self._free, self._ill = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE)

    def __len__(self) -> int:
        return len(self._tasks)

    def answer(self, probe: Probe) -> Probed | None:
        return self._answers.get(probe)

    def want(self, asker: Asker, probes: Iterable[Probe]) -> None:
        """All that ``asker`` wants from now on; what nobody wants is asked no more."""
        new, old = frozenset(probes), self._wanted.get(asker, frozenset())
        if new == old:
            return
        for probe in old - new:
            who = self._who.get(probe, set())
            who.discard(asker)
            if not who:
                self._end(probe)
        for probe in new - old:
            if probe not in self._tasks:
                if len(self._tasks) >= MAX_PROBES:
                    continue
                self._tasks[probe] = asyncio.create_task(self._keep_asking(probe))
            self._who.setdefault(probe, set()).add(asker)
        if new:
            self._wanted[asker] = new
        else:
            self._wanted.pop(asker, None)

    async def stop(self) -> None:
        """Ask nothing any more, and forget everything."""
        tasks = list(self._tasks.values())
        for probe in list(self._tasks):
            self._end(probe)
        self._wanted.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- inner workings ------------------------------------------------------------------------

    def _end(self, probe: Probe) -> None:
        task = self._tasks.pop(probe, None)
        if task is not None:
            task.cancel()
        self._answers.pop(probe, None)
        self._who.pop(probe, None)

    async def _keep_asking(self, probe: Probe) -> None:
        healthy: bool | None = None
        well = ill = 0
        await asyncio.sleep(min(FIRST_S, probe.period_s) * self._dice())
        while True:
            async with self._ill if ill else self._free:
                found = await ask(probe)
            if found.problem:
                well, ill = 0, ill + 1
                healthy = False if ill >= probe.failures else healthy
            else:
                well, ill = well + 1, 0
                healthy = True if well >= probe.successes else healthy
            found = replace(found, healthy=healthy)
            if found != self._answers.get(probe):
                self._answers[probe] = found
                self._changed(tuple(self._who.get(probe, ())))
            await asyncio.sleep(probe.period_s * (0.9 + 0.2 * self._dice()))


async def ask(probe: Probe) -> Probed:
    """One answer, whose ``problem`` says why it is a bad one. Raises nothing of the network's."""
    status, body, problem = 0, b"", ""
    try:
        address, target = _place(probe.url)
        async with asyncio.timeout(probe.timeout_s):
            status, body = await _get(address, target, probe)
        if not 200 <= status < 400:
            problem = str(status)
    except TimeoutError:
        problem = f"no answer in {probe.timeout_s:g} s"
    except ssl.SSLCertVerificationError as error:
        problem = f"its certificate is not trusted: {error.verify_message}"
    except ssl.SSLError as error:
        problem = f"does not speak TLS as expected: {error.reason}"
    except OSError as error:
        number = error.errno or 0  # below 0: a name that cannot be looked up
        known = os.strerror(number) if number > 0 else error.strerror
        problem = (known or str(error) or type(error).__name__).lower()
    except (httptools.HttpParserError, TooLarge):
        problem = "did not answer with HTTP"
    except (ValueError, UnicodeError) as error:
        problem = f"this URL cannot be asked: {error}"
    return Probed(healthy=None, status=status, problem=problem, body=body)


def _place(url: str) -> tuple[Address, str]:
    """Whom to ask, and for what. Raises ``ValueError``."""
    scheme, sep, rest = url.partition("://")
    if not sep:
        raise ValueError("write http:// or https:// before the host")
    host, slash, path = rest.partition("/")
    if not (path.isascii() and path.isprintable()) or set(path) & {" ", "#"}:
        raise ValueError("the path has more than plain characters; write a space as %20")
    return parse_address(f"{scheme}://{host}"), f"/{path}" if slash else "/"


async def _get(address: Address, target: str, probe: Probe) -> tuple[int, bytes]:
    most = MAX_PAGE if probe.lines else MAX_BODY
    secure = address.scheme == "https"
    connection = await Connection.open(
        address, _system() if secure else None, address.host if secure else None
    )
    head = (
        f"GET {target} HTTP/1.1\r\nhost: {address.authority}\r\n"
        "accept: */*\r\nuser-agent: wayside-probe\r\nconnection: close\r\n\r\n"
    )
    try:
        answer = await connection.exchange(
            head.encode("latin-1"),
            4 * most,  # one reading is more than nothing, and the rest is not read
            lambda body: not probe.keep_body or len(body) >= most,
        )
        if not probe.keep_body:
            return answer.status, b""
        body = bytes(answer.body[:most])
        return answer.status, _lines(body, probe.lines) if probe.lines else body
    finally:
        connection.drop()


def _lines(body: bytes, starts: tuple[bytes, ...]) -> bytes:
    """The whole lines that begin so, together no longer than any body."""
    kept: list[bytes] = []
    size = 0
    for line in body.split(b"\n")[:-1]:
        if line.startswith(starts):
            size += len(line) + 1
            if size > MAX_BODY:
                break
            kept.append(line + b"\n")
    return b"".join(kept)


@functools.cache
def _system() -> ssl.SSLContext:
    """The system's certificates, read once."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
