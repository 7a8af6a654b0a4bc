"""Puts simulated servers on the network: a TCP port or a Unix socket each, TLS if asked for."""

import asyncio
import contextlib
import random
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from .gpu import Gpu, serve_gpu_page
from .kv_events import Publisher
from .recording import Recorded, Stats, Took
from .replica import Replica
from .settings import FaultRates, GpuExporter, SimModel, SimServer, SimSettings
from .transfers import TransferTally
from .wire import Connection, Limits

_BACKLOG = 1024


class Sim:
    """A simulated server that is listening. Tests read `url`, `stats` and `requests`."""

    def __init__(self, settings: SimServer) -> None:
        self.settings = settings
        self.port = settings.port
        self.kv_events = (
            Publisher(settings.kv_events, today=time.time) if settings.kv_events else None
        )
        """What tells of the KV cache, if anything does: its `endpoint` and `subscribers`."""
        self.replica = Replica(
            settings,
            clock=time.monotonic,  # uvloop's own clock only ticks in whole milliseconds
            today=time.time,
            dice=random.Random(settings.faults.seed),
            publisher=self.kv_events,
            crash=self._crash,
        )
        self._crashing: asyncio.Task[None] | None = None
        self._been_up = False
        self._limits = Limits(
            settings.max_head_bytes, settings.max_body_bytes, settings.keep_alive_s
        )
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._names: weakref.WeakKeyDictionary[object, str | None] = weakref.WeakKeyDictionary()
        self._tls = self._context()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:9001`, without `/v1`; `unix:/path` for a Unix socket."""
        if self.settings.unix is not None:
            return f"unix:{self.settings.unix}"
        host = self.settings.host
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def requests(self) -> tuple[Recorded, ...]:
        """The last requests, oldest first, probes left out."""
        return self.replica.recording.all()

    @property
    def stats(self) -> Stats:
        """Counts as they are this moment."""
        return self.replica.stats

    @property
    def took(self) -> tuple[Took, ...]:
        """What the last answers took, oldest first."""
        return tuple(self.replica.ledger.answers)

    @property
    def sni_seen(self) -> tuple[str | None, ...]:
        """The server name each TLS handshake asked for, oldest first."""
        return tuple(self.replica.sni_seen)

    @property
    def faults(self) -> FaultRates:
        """How often faults strike; set it to change that."""
        return self.replica.faults

    @faults.setter
    def faults(self, faults: FaultRates) -> None:
        self.replica.faults = faults

    @property
    def healthy(self) -> bool:
        """Whether /health says 200 (else 503); set it to change that."""
        return self.replica.healthy

    @healthy.setter
    def healthy(self, healthy: bool) -> None:
        self.replica.healthy = healthy

    @property
    def pace(self) -> float:
        """How many times as long every answer takes that starts from here on; set it."""
        return self.replica.pace

    @pace.setter
    def pace(self, factor: float) -> None:
        self.replica.pace = factor

    @property
    def transfers(self) -> TransferTally:
        """How often a prompt was read for another server, or fetched from one."""
        return self.replica.transfers.tally

    def hang(self) -> None:
        """Be silent on every connection, probes and running answers included."""
        self.replica.life.hang()

    def revive(self) -> None:
        """End `hang`; who waited is answered."""
        self.replica.life.revive()

    def clear(self) -> None:
        """Forget the recorded requests and what they took; the counters stay."""
        self.replica.recording.clear()
        self.replica.ledger.clear()

    async def until(self, true: Callable[[Stats], bool], timeout_s: float = 5.0) -> Stats:
        """Wait until the stats make `true` true; raises TimeoutError."""
        return await self.replica.until(true, timeout_s)

    async def up(self) -> None:
        """Listen. After `down` it is at the same address again, and its caches are empty."""
        if self._server is not None:
            return
        if self._been_up:
            self.replica.restart()
        await self._listen()
        self._been_up = True
        if self.kv_events is not None:
            try:
                self.kv_events.open(self.replica.topics)
            except OSError:
                await self.down()
                raise

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        if self.settings.unix is not None:
            _remove_socket(self.settings.unix)
            self._server = await loop.create_unix_server(
                self._connect, str(self.settings.unix), ssl=self._tls, backlog=_BACKLOG
            )
            return
        self._server = await loop.create_server(
            self._connect, self.settings.host, self.port, ssl=self._tls, backlog=_BACKLOG
        )
        self.port = self.replica.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Stop listening and drop every connection, as a crash would."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        if self.kv_events is not None:
            self.kv_events.close()
        while self._connections:
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.sleep(0)
        await server.wait_closed()
        if self.settings.unix is not None:
            _remove_socket(self.settings.unix)

    async def close(self) -> None:
        """Go down for good, whatever `crash` had in mind."""
        if self._crashing is not None:
            self._crashing.cancel()
        await self.down()

    def _crash(self, for_s: float | None) -> None:
        async def crash() -> None:
            await self.down()
            if for_s is not None:
                await asyncio.sleep(for_s)
                await self.up()

        self._crashing = asyncio.ensure_future(crash())

    def _connect(self) -> Connection:
        self.replica.connected()
        return Connection(
            self.replica.handle,
            self._limits,
            open_connections=self._connections,
            on_cancel=self.replica.cancelled,
            sni_of=self._name_of,
            always=self.replica.identity,
        )

    def _context(self) -> ssl.SSLContext | None:
        if self.settings.tls is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.settings.tls.cert, self.settings.tls.key)
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = self._note_name
        return context

    def _name_of(self, connection: object) -> str | None:
        return None if connection is None else self._names.get(connection)

    def _note_name(self, connection: object, name: str | None, context: ssl.SSLContext) -> None:
        self._names[connection] = name
        self.replica.sni_seen.append(name)


@contextlib.asynccontextmanager
async def serve_sim(servers: Iterable[SimServer | SimModel | str]) -> AsyncIterator[list[Sim]]:
    """Serve until the block ends; a model, or just its name, gets a vLLM server of its own."""
    sims: list[Sim] = []
    try:
        for server in servers:
            sim = Sim(_server(server))
            await sim.up()
            sims.append(sim)
        yield sims
    finally:
        for sim in sims:
            await sim.close()


async def run(
    settings: SimSettings, *, started: Callable[[list[Sim]], None] = lambda sims: None
) -> None:
    """Serve for ever; `started` is called once everything listens. Cancel it to stop."""
    async with serve_sim(settings.servers) as sims, contextlib.AsyncExitStack() as stack:
        if settings.gpu_exporter is not None:
            await stack.enter_async_context(serve_gpus(sims, settings.gpu_exporter))
        started(sims)
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def serve_gpus(sims: Sequence[Sim], settings: GpuExporter) -> AsyncIterator[str]:
    """Serve the GPUs of these servers on one page until the block ends; gives its address."""

    def gpus() -> list[Gpu]:
        return [sim.replica.gpu() for sim in sims]

    server = await serve_gpu_page(settings, gpus)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://{settings.host}:{port}/metrics"
    finally:
        server.close()


def _server(server: SimServer | SimModel | str) -> SimServer:
    if isinstance(server, str):
        server = SimModel(server)
    return SimServer(models=(server,)) if isinstance(server, SimModel) else server


def _remove_socket(path: Path) -> None:
    if path.is_socket():
        path.unlink()
