"""What a router in a pod does beside serving: it shows its metrics and its API on ports of their
own, and leaves in an order that costs no request.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import click
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from wayside.cli.app import App
from wayside.gateway.entered import Entered
from wayside.gateway.listener import serve_management
from wayside.gateway.management import METRICS, Part
from wayside.settings.address import Address, parse_address
from wayside.settings.tls import ListenerTlsSettings
from wayside.vocab.errors import ConfigError

LOOK_S: Final = 0.2
"""How often it is seen whether somebody still listens."""


class _HostPort(click.ParamType[Address]):
    name = "host:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        if isinstance(value, Address):
            return value
        try:
            found = parse_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return found


HOST_PORT: Final = _HostPort()
metrics_option = click.option(
    "--metrics-address",
    type=HOST_PORT,
    help="Also serve /metrics, /health, /ready and /info/config there, and nothing else.",
)
api_option = click.option(
    "--api-address",
    type=HOST_PORT,
    help="Also serve there what clients may see of the management API: model list, health and "
    "classification, and nothing that was asked before. With maas, for those who show a token.",
)


@dataclass(frozen=True, slots=True)
class Beside:
    """Listeners beside those that the settings name."""

    metrics: Address | None = None
    api: Address | None = None

    def __bool__(self) -> bool:
        return self.metrics is not None or self.api is not None


@contextlib.asynccontextmanager
async def beside(app: App, places: Beside) -> AsyncIterator[None]:
    """They are served for as long as the block lasts."""
    rules = app.settings.management
    wanted: list[tuple[Part, Address | None, ListenerTlsSettings | None]] = [
        ("metrics", places.metrics, rules.metrics_tls),
        ("clients", places.api, rules.api_tls),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for part, address, rule in wanted:
            if address is not None:
                page: ASGIApp = app.management.app(part)
                if part == "clients":
                    page = Entered(page, app.runtime)
                name = {"clients": "api"}.get(part, part)
                where = f"management.{name}_tls"
                tls = app.certificates.serve(name, rule, where=where)
                await stack.enter_async_context(served(page, address, part, tls))
                scheme = "http" if tls is None else "https"
                app.log(part, url=f"{scheme}://{address.authority}")
        yield


@contextlib.asynccontextmanager
async def served(
    app: ASGIApp, where: Address, what: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """``app`` at an address."""
    try:
        server = await serve_management(app, where.host, where.port, tls=tls)
    except OSError as error:
        option = {"clients": "api"}.get(what, what)
        raise ConfigError.one(
            f"cannot listen on {where.host}:{where.port}: {error.strerror or error}",
            where=f"--{option}-address",
            fix="choose another port",
        ) from error
    try:
        yield
    finally:
        await server.stop()


def metrics_only(app: ASGIApp) -> Starlette:
    """Of a management application that is put together elsewhere, what Prometheus needs."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in METRICS:
            body = {"error": {"code": "NOT_FOUND", "message": "nothing but metrics is here"}}
            await JSONResponse(body, status_code=404)(scope, receive, send)
        else:
            await app(scope, receive, send)

    found = Starlette()
    found.mount("/", asked)
    return found


class Draining(Protocol):
    """Who is not ready while it goes."""

    draining: bool


@dataclass(slots=True)
class Leaving:
    """One that nobody asks whether it is ready."""

    draining: bool = False


def leave(
    stop: asyncio.Event,
    app: Draining,
    *,
    linger_s: float = 0.0,
    outlive: Address | None = None,
    longest_s: float = 30.0,
    signals: Callable[[signal.Signals, Callable[[], None]], None] | None = None,
) -> None:
    """Have SIGTERM and SIGINT set ``stop``: after ``linger_s``, in which requests still come from
    those who have not heard yet that we go; and once nobody listens at ``outlive`` any more,
    ``longest_s`` later at most. Meanwhile we are not ready. A second signal sets it at once."""
    add = signals or asyncio.get_running_loop().add_signal_handler
    waiting: list[asyncio.Task[None]] = []

    async def later() -> None:
        await asyncio.sleep(linger_s)
        if outlive is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest_s):
                    await gone(outlive)
        stop.set()

    def told() -> None:
        patient = linger_s or outlive is not None
        if waiting or not patient:
            stop.set()
            return
        app.draining = True
        waiting.append(asyncio.ensure_future(later()))

    for sign in (signal.SIGTERM, signal.SIGINT):
        add(sign, told)


async def gone(where: Address) -> None:
    """Return when nobody listens at ``where``."""
    while True:
        try:
            _, writer = await asyncio.open_connection(where.host, where.port)
        except OSError:
            return
        writer.close()
        await asyncio.sleep(LOOK_S)
