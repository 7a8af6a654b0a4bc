"""Where a picker's endpoints come from: a cluster, a file, or its command line."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from wayside.epp.store import Seat, Store
from wayside.extproc.session import Say
from wayside.kube.client import Client
from wayside.kube.inference import GROUP
from wayside.kube.kubeconfig import find_access
from wayside.kube.pool import PoolWatch
from wayside.settings.address import parse_address
from wayside.settings.load import documents
from wayside.vocab.errors import ConfigError, Problem
from wayside.vocab.inference import PoolSpec

LOOK_S: Final = 1.0
"""How often a file is looked at."""
_MOST: Final = 10_000
SHARE: Final = 0.1
"""Of the time, at most, to follow the pods of a pool: 5,000 of them take 20 ms each time."""


class Source(Protocol):
    """Keeps a store's endpoints current while :meth:`run` runs; ends only when cancelled."""

    async def run(self) -> None: ...
    def close(self) -> None: ...


def seats(addresses: Sequence[str], where: str) -> list[Seat]:
    """Endpoints by ``host:port``; names are looked up, once. Raises :class:`ConfigError`."""
    return [_seat({"address": a}, f"{where}[{i}]", look_up) for i, a in enumerate(addresses)]


def look_up(host: str) -> str:
    """The first address of a name. Raises ``OSError``."""
    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])


def _no_names(host: str) -> str:
    raise OSError("Envoy is told addresses only")


class Fixed:
    """Endpoints that never change."""

    def __init__(self, store: Store, found: Sequence[Seat]) -> None:
        store.seat(found)

    async def run(self) -> None:
        await asyncio.Event().wait()

    def close(self) -> None:
        pass


class File:
    """Endpoints listed in a YAML or JSON file, read again whenever it changes.

    ``endpoints: [{name: a, address: 10.0.0.1, port: 8000, labels: {...}}]``; ``address`` may be
    ``host:port``. A file that cannot be read leaves those of before.
    """

    def __init__(self, store: Store, path: Path, log: Say) -> None:
        """Raises :class:`ConfigError` for a file that cannot be read at the start."""
        self._store, self._path, self._log = store, path, log
        self._stamp: object = None
        self._read()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self._read()
            except ConfigError as error:
                self._log("endpoints not read", level="error", why=str(error))

    def close(self) -> None:
        pass

    def _read(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            text = self._path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError.one(f"cannot be read: {error}", where=str(self._path)) from None
        self._stamp = stamp
        self._store.seat(_listed(text, str(self._path)))


class Cluster:
    """The pods of a pool."""

    def __init__(
        self,
        store: Store,
        *,
        pool: tuple[str, str, str] | None,
        selected: PoolSpec | None,
        kubeconfig: str | None,
        log: Say,
    ) -> None:
        """``selected`` is the pool where no InferencePool describes it."""
        access = find_access(kubeconfig)
        self.client = Client(access)
        if pool is None:
            assert selected is not None
            pool = (selected.name, selected.namespace, GROUP)
        name, namespace, group = pool
        namespace = namespace or access.namespace
        self._store = store
        self.name, self.namespace = name, namespace
        self.watch = PoolWatch(
            self.client,
            name,
            namespace,
            group=group or GROUP,
            fixed=selected,
            changed=self._changed,
            log=log,
        )
        self._later: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        store.objective = self.watch.objective
        store.rewrites = lambda: self.watch.rewrites

    async def run(self) -> None:
        await self.watch.run()

    def close(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self.client.close()

    def _changed(self) -> None:
        """A large pool whose pods change all the time must not take the event loop: the first
        change counts at once, the next ones together when that is affordable."""
        wait_s = self._not_before - time.monotonic()
        if wait_s <= 0:
            self._seat()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(wait_s, self._seat)

    def _seat(self) -> None:
        self._later = None
        began = time.monotonic()
        self._seat_now()
        now = time.monotonic()
        self._not_before = now + (now - began) * (1 / SHARE - 1)

    def _seat_now(self) -> None:
        if self.watch.pool is not None or self._store.synced:
            self._store.seat(
                [
                    Seat(f"{p.namespace}/{p.name}", p.host_port, p.pod.labels)
                    for p in self.watch.places
                ]
            )


def _listed(text: str, where: str) -> list[Seat]:
    (document, *more) = documents(text)
    entries = document.get("endpoints")
    if more or not isinstance(entries, list):
        raise ConfigError.one("a list `endpoints` is wanted", where=where)
    if len(entries) > _MOST:
        raise ConfigError.one(f"more than {_MOST} endpoints", where=where)
    found = [_seat(entry, f"{where}: endpoints[{i}]") for i, entry in enumerate(entries)]
    twice = {s.host_port for s in found if sum(o.host_port == s.host_port for o in found) > 1}
    if twice and len(found) < 1000:
        raise ConfigError.one(f"{sorted(twice)[0]} is listed twice", where=where)
    return found


def _seat(entry: Any, where: str, resolve: Callable[[str], str] = _no_names) -> Seat:
    if isinstance(entry, str):
        entry = {"address": entry}
    if not isinstance(entry, Mapping):
        raise ConfigError.one("an endpoint is a mapping, or host:port", where=where)
    known = {"name", "address", "port", "labels", "namespace"}
    problems = [Problem("not known", f"{where}.{key}") for key in entry if key not in known]
    address, port = entry.get("address"), entry.get("port")
    labels = entry.get("labels") or {}
    if not isinstance(address, str) or not address:
        problems.append(Problem("an address is wanted", f"{where}.address", "write host:port"))
    if not isinstance(labels, Mapping):
        problems.append(Problem("labels are a mapping", f"{where}.labels"))
    if problems:
        raise ConfigError(problems)
    text = f"{_bracketed(str(address))}:{port}" if port is not None else str(address)
    try:
        parsed = parse_address(text)
    except ValueError as error:
        raise ConfigError.one(str(error), where=where, fix="write host:port") from None
    host = parsed.host
    if not _is_ip(host):
        try:
            host = resolve(host)
        except OSError as error:
            what = f"{host} is a name: {error}"
            raise ConfigError.one(what, where=where, fix="write its IP address") from None
    host_port = f"{_bracketed(host)}:{parsed.port}"
    name = str(entry.get("name") or host_port)
    namespace = entry.get("namespace")
    plain = {str(k): str(v) for k, v in labels.items()}
    return Seat(f"{namespace}/{name}" if namespace else name, host_port, plain)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
