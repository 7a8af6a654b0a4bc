"""Several processes on one port: a parent that serves nothing but management, and its workers.

The kernel spreads connections over the workers (SO_REUSEPORT). Each answers management requests
on a private Unix socket; the parent adds up their metrics and passes everything else to the
first. A worker that dies is replaced.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from wayside.cli.cache_front import cache_front
from wayside.gateway.api import MAX_BODY_BYTES, ApiError, error_answer
from wayside.gateway.management import own_page
from wayside.runtime.scratch import scratch
from wayside.settings import RouterSettings
from wayside.telemetry import Log
from wayside.telemetry.metrics import Metrics
from wayside.telemetry.together import asked_for, together

WORKER = "WAYSIDE_WORKER"
"""Set for a worker: the Unix socket on which it serves its management API."""
BACK_OFF_S = (0.1, 1.0, 5.0, 15.0)
STEADY_S = 30.0
ASK_S = 10.0


class Workers:
    """``count`` copies of ``command``, kept running until :meth:`stop`."""

    def __init__(self, command: Sequence[str], count: int, folder: Path, log: Log) -> None:
        self._command, self._log = command, log
        self.sockets = [folder / f"worker-{i}.sock" for i in range(count)]
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = False
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when every worker answers; raises ``RuntimeError`` if one ends instead."""
        for i in range(len(self.sockets)):
            await self._spawn(i)
        await asyncio.gather(*(self._until_ready(i) for i in range(len(self.sockets))))
        self._keepers = [asyncio.create_task(self._keep(i)) for i in range(len(self.sockets))]

    async def stop(self, drain_s: float) -> None:
        """Let workers finish their requests, then end those that do not."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            try:
                async with asyncio.timeout(drain_s + 5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _spawn(self, i: int) -> None:
        self.sockets[i].unlink(missing_ok=True)  # a killed worker leaves it behind
        env = {**os.environ, WORKER: str(self.sockets[i])}
        self._running[i] = await asyncio.create_subprocess_exec(*self._command, env=env)

    async def _until_ready(self, i: int) -> None:
        while True:
            status = self._running[i].returncode
            if status is not None:
                raise RuntimeError(f"worker {i} ended with status {status} before it served")
            with suppress(OSError, http.client.HTTPException):
                if (await asyncio.to_thread(fetch, self.sockets[i], "GET", "/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.05)

    async def _keep(self, i: int) -> None:
        deaths = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._running[i].wait()
            if self._stopping:
                return
            deaths = 1 if loop.time() - began > STEADY_S else deaths + 1
            wait = BACK_OFF_S[min(deaths, len(BACK_OFF_S)) - 1]
            self._log("worker died", level="error", worker=i, status=status, again_in_s=wait)
            await asyncio.sleep(wait)
            await self._spawn(i)


def fetch(
    path: Path,
    method: str,
    target: str,
    body: bytes = b"",
    content_type: str = "",
    more: Mapping[str, str] | None = None,
) -> tuple[int, str, bytes]:
    """One HTTP request over a Unix socket: status, content type, body."""
    headers = {**({"content-type": content_type} if content_type else {}), **(more or {})}
    status, answered, text = exchange(path, method, target, body, headers)
    return status, answered.get("content-type", ""), text


def exchange(
    path: Path, method: str, target: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, Mapping[str, str], bytes]:
    """The same: status, headers (their names in lower case) and body."""
    connection = http.client.HTTPConnection("worker", timeout=ASK_S)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(ASK_S)
    with sock:
        sock.connect(str(path))
        connection.sock = sock
        connection.request(method, target, body or None, dict(headers))
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return response.status, answered, response.read()


def summed(texts: Sequence[bytes]) -> bytes:
    """Several workers' metrics as one, as plain text."""
    return together(texts)[0]


def front(
    workers: Workers, more: Sequence[BaseRoute] = (), own: Metrics | None = None
) -> Starlette:
    """The parent's management application; ``more`` are routes of its own, ``own`` its metrics."""

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        more = {"accept": asked_for(accept)}
        answers = await asyncio.gather(
            *(
                asyncio.to_thread(fetch, path, "GET", "/metrics", more=more)
                for path in workers.sockets
            ),
            return_exceptions=True,
        )
        texts = [a[2] for a in answers if not isinstance(a, BaseException)]
        texts += [own.page(accept)[0]] if own is not None else []
        page, kind = await asyncio.to_thread(together, texts, accept)
        return Response(page, media_type=kind)

    async def ready(_: Request) -> Response:
        answers = await asyncio.gather(
            *(asyncio.to_thread(fetch, path, "GET", "/ready") for path in workers.sockets),
            return_exceptions=True,
        )
        for i, found in enumerate(answers):
            if isinstance(found, BaseException):
                body = f'{{"status":"starting","ready":false,"message":"worker {i}: no answer"}}'
                return Response(body, status_code=503, media_type="application/json")
        told = [a for a in answers if not isinstance(a, BaseException)]
        worst = max(told, key=lambda a: a[0])
        return Response(worst[2], status_code=worst[0], media_type=worst[1])

    async def first(request: Request) -> Response:
        try:
            own_page(request)
        except ApiError as error:
            return error_answer(error.status, error.code, str(error))
        path = request.scope["raw_path"].decode("latin-1")  # read once, by the worker
        target = path + (f"?{request.url.query}" if request.url.query else "")
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                message = '{"error":{"code":"REQUEST_BODY_TOO_LARGE","message":"too large"}}'
                return Response(message, status_code=413, media_type="application/json")
        kind = request.headers.get("content-type", "")
        try:
            status, answered, text = await asyncio.to_thread(
                fetch, workers.sockets[0], request.method, target, body, kind
            )
        except (OSError, http.client.HTTPException) as error:
            message = (
                f'{{"error":{{"code":"WORKER_UNAVAILABLE","message":"{type(error).__name__}"}}}}'
            )
            return Response(message, status_code=503, media_type="application/json")
        return Response(text, status_code=status, media_type=answered)

    async def nothing(_: Request) -> Response:
        """Workers believe their parent: nobody else gets at their console, on or off."""
        message = '{"error":{"code":"NOT_FOUND","message":"management.console is off"}}'
        return Response(message, status_code=404, media_type="application/json")

    async def cache(request: Request) -> Response:
        try:
            own_page(request)
        except ApiError as error:
            return error_answer(error.status, error.code, str(error))

        def ask(
            i: int, method: str, target: str, body: bytes, headers: Mapping[str, str]
        ) -> tuple[int, str, bytes]:
            return fetch(workers.sockets[i], method, target, body, more=headers)

        return await cache_front(request, len(workers.sockets), ask)

    return Starlette(
        routes=[
            *more,
            Route("/api/v1/response-cache/{what}", cache, methods=["GET", "POST"]),
            Route("/metrics", metrics),
            Route("/ready", ready),
            Route("/startup-status", ready),
            Route("/console/{path:path}", nothing, methods=["GET", "POST", "PUT", "DELETE"]),
            Route("/{path:path}", first, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


def reserve(settings: RouterSettings) -> socket.socket:
    """A bound socket that keeps the port (or finds a free one) for the workers. Never listens."""
    address = settings.listen.address
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind((address, settings.listen.port))
    except OSError:
        held.close()
        raise
    return held


def run_folder() -> Path:
    """A private folder for the workers' sockets."""
    return scratch("wayside-workers-", "--workers")


def worker_command(path: str, address: str, port: int) -> list[str]:
    """How a worker is started: this same program, told where to listen."""
    return [
        sys.executable,
        "-m",
        "wayside",
        "serve",
        "--config",
        path,
        "--address",
        address,
        "--port",
        str(port),
    ]
