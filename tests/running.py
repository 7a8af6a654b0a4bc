"""Run the real thing in a test: simulated models, the router, either shell, a real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import aiohttp
import yaml

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.cli.serve import over_http
from wayside.telemetry import Log

SHELLS = ("gateway", "envoy")


class Access(Log):
    """The request log, kept as dictionaries."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), console=False)
        self.lines: list[dict[str, Any]] = []

    def write(
        self,
        event: str,
        level: str,
        fields: Mapping[str, Any],
        trusted: Collection[str] = (),
    ) -> None:
        self.lines.append(dict(fields))


class Running:
    """A router that takes requests at ``url``."""

    def __init__(self, app: App, url: str, access: Access) -> None:
        self.app, self.url, self.access = app, url, access

    async def ask(
        self,
        body: Any,
        headers: Mapping[str, str] | None = None,
        path: str = "/v1/chat/completions",
    ) -> Answer:
        """POST ``body`` (bytes as they are, anything else as JSON)."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + path, data=data, headers=sent) as response,
        ):
            return Answer(response.status, await response.read(), response.headers)

    async def line(self, answer: Answer) -> dict[str, Any]:
        """What the request log says of ``answer``; Envoy tells us of a request's end after it."""
        wanted = answer.headers["x-request-id"]
        async with asyncio.timeout(5):
            while True:
                for line in self.access.lines:
                    if line["id"] == wanted:
                        return line
                await asyncio.sleep(0.01)

    async def get(self, path: str) -> Answer:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + path) as response,
        ):
            return Answer(response.status, await response.read(), response.headers)


class Answer:
    """A response, whole."""

    def __init__(self, status: int, body: bytes, headers: Any) -> None:
        self.status, self.body, self.headers = status, body, headers

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def build(document: Mapping[str, Any], env: Mapping[str, str] | None = None) -> tuple[App, Access]:
    """An app from a document, listening on free ports."""
    document = {"listen": {"port": 0}, "management": {"enabled": False}, **document}
    text = yaml.safe_dump(document).encode()
    app = App(read(text, "test.yaml", env=env or {}), env=env or {}, log=Log(io.StringIO()))
    access = Access()
    app.telemetry.access = access
    return app, access


@contextlib.asynccontextmanager
async def running(
    shell: str, document: Mapping[str, Any], env: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """The router behind ``shell``: ``gateway``, or ``envoy`` with a real Envoy in front."""
    app, access = build(document, env)
    if shell == "gateway":
        async with over_http(app) as url:
            yield Running(app, url, access)
    else:
        from wayside.cli.behind_envoy import behind_envoy

        async with behind_envoy(app) as url:
            yield Running(app, url, access)


def chat(text: str, model: str = "auto", **more: Any) -> dict[str, Any]:
    """A chat completion request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}
