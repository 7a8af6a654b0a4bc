"""The console's data on a listener of its own, without its login; and requests that passed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from tests.gateway.api_rig import Fake, models
from wayside.cli.app import App
from wayside.cli.files import read
from wayside.console.data import data
from wayside.console.inside import WHO, Data, Inside, Who
from wayside.gateway.api import ApiError, Endpoint, error_answer
from wayside.gateway.listener import serve_management
from wayside.telemetry import Log, Tokens
from wayside.telemetry.meter import Meter
from wayside.vocab.outcome import Record, Tried

CONFIG = """
models:
  small: {endpoints: [http://127.0.0.1:1], price: {prompt_per_1m: 1, completion_per_1m: 2}}
  coder:
    endpoints: [http://127.0.0.1:2, {url: http://127.0.0.1:3, standby: true}]
    price: {prompt_per_1m: 10, completion_per_1m: 20}
  free: {endpoints: [http://127.0.0.1:4]}
routing:
  default_model: small
  signals:
    keyword: {urgent: {keywords: [urgent]}, polite: {keywords: [please]}}
    domain: {law: {labels: [law], threshold: 0.5}, math: {labels: [math], threshold: 0.5}}
  decisions:
    - {name: hurry, priority: 10, when: "keyword:urgent", models: [coder]}
    - name: court
      priority: 5
      when: {all: [{signal: "domain:law"}, {not: {signal: "keyword:polite"}}]}
      models: [free, coder]
      plugins: {router_replay: {request_body: true, redact: false}}
    - name: sums
      priority: 1
      when: "domain:math"
      models: [free]
"""


class Rig:
    """A router that serves nothing, its console's data, and a client of it."""

    def __init__(self, app: App, parts: Sequence[Data], url: str, client: aiohttp.ClientSession):
        self.app, self.parts, self.url, self.client = app, parts, url, client
        self.who = Who("ada", "admin")

    def part(self, kind: Callable[..., Any]) -> Any:
        (found,) = [p for p in self.parts if isinstance(p, kind)]  # type: ignore[arg-type]
        return found

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.client.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self.client.post(self.url + path, data=json.dumps(body)) as answer:
            return answer.status, await answer.json()

    async def delete(self, path: str) -> tuple[int, Any]:
        async with self.client.delete(self.url + path) as answer:
            return answer.status, await answer.json()

    def passes(
        self,
        model: str = "small",
        *,
        tokens: Tokens | None = None,
        status: int = 200,
        reason: str = "",
        took_s: float = 0.0,
        **more: Any,
    ) -> None:
        """A request that has ended."""
        exchange = self.app.telemetry.begin(shell="gateway")
        record = Record(requested="auto", model=model, recipe="default", **more)
        exchange.routed(record)
        exchange.started -= took_s
        exchange.tried(Tried(endpoint="127.0.0.1:1", model=model, outcome="ok", seconds=took_s))
        if tokens is not None:
            exchange.meter = meter = Meter(stream=False)
            usage = {"prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion}
            meter.feed(json.dumps({"usage": usage}).encode())
        exchange.ended(status=status, reason=reason)


def inside_of(app: App) -> Inside:
    return Inside(
        runtime=app.runtime,
        telemetry=app.telemetry,
        state=app.state,
        fleet=app.fleet,
        experience=app.experience,
        log=app.log,
        heads=app.management._heads,
        settings=lambda: app.settings,
        engines=lambda: app.engines,
        stores=lambda: app.stores,
        written=lambda: app.loaded,
        tried=_untried,
        maas=app.maas,
        maas_api=getattr(app, "maas_api", None),
        usage_api=getattr(app, "usage_api", None),
    )


def _untried(text: bytes) -> Any:
    raise AssertionError("nothing here tries a configuration")


@contextlib.asynccontextmanager
async def console(
    config: str = CONFIG,
    engines: Mapping[str, Fake] | None = None,
    env: Mapping[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Rig]:
    """``more`` are fields of :class:`Inside`."""
    env = env or {}
    app = App(read(config.encode(), "wayside.yaml", env=env), env=env, log=Log(io.StringIO()))
    app.serving = True
    app.engines._made.update(models() if engines is None else engines)
    parts = data(replace(inside_of(app), **more))
    rig: list[Rig] = []

    def route(endpoint: Endpoint) -> Route:
        async def answered(http: HttpRequest) -> Response:
            http.scope[WHO] = rig[0].who
            try:
                return await endpoint.handler(http)
            except ApiError as error:
                return error_answer(error.status, error.code, str(error))

        return Route(endpoint.path, answered, methods=[endpoint.method])

    page = Starlette(routes=[route(e) for part in parts for e in part.endpoints()])
    server = await serve_management(page, "127.0.0.1", 0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as client:
            rig.append(Rig(app, parts, f"http://127.0.0.1:{port}", client))
            yield rig[0]
    finally:
        await server.stop()
        await app.close()


class Gaps:
    """The longest time for which the event loop did nothing else, in seconds. What was there
    before is not looked through by the garbage collector meanwhile: the heap of a test run is
    many times that of a router."""

    def __init__(self) -> None:
        self.longest: list[float] = []

    async def __aenter__(self) -> Gaps:
        gc.collect()
        gc.freeze()
        self._task = asyncio.ensure_future(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        gc.unfreeze()

    async def _watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest.append(now - last)
            last = now

    @property
    def worst(self) -> float:
        """Of the processor's time of this thread, which other processes do not add to."""
        return max(self.longest, default=0.0)
