"""A router's management listener with its console, and a browser without a screen."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.gateway.listener import serve_management
from wayside.telemetry import Log

TOKENS = {
    "VIEW": "viewer-token-0123456789",
    "OPER": "operator-token-0123456789",
    "ADMIN": "admin-token-0123456789",
}
CONFIG = """\
# what this router is for
management:
  console:
    folder: FOLDER
    tokens:
      - {name: vera, role: viewer, token: {env: VIEW}}
      - {name: otto, role: operator, token: {env: OPER}}
      - {name: ada, role: admin, token: {env: ADMIN}}
models:
  big:  # the dear one
    endpoints: [http://127.0.0.1:9]
    price: {prompt_per_1m: 10, completion_per_1m: 20}
  small:
    endpoints: [http://127.0.0.1:9]
    price: {prompt_per_1m: 1, completion_per_1m: 2}
routing:
  default_model: small
  signals:
    keyword:
      sums: {keywords: [integral]}
  decisions:
    - name: hard
      when: {signal: keyword:sums}
      models: [{model: big}]
"""


class Answer:
    """A response, whole."""

    def __init__(self, status: int, raw: bytes, headers: Mapping[str, str]) -> None:
        self.status, self.raw, self.headers = status, raw, headers

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        found: str = self.body["error"]["code"]
        return found


class Browser:
    """Keeps cookies, and sends what a page would."""

    def __init__(self, url: str) -> None:
        self.url, self.cookies, self.csrf = url, dict[str, str](), ""
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self.set_cookies: list[str] = []

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        sent = {"x-wayside-csrf": self.csrf} if self.csrf else {}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        sent |= headers or {}
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        url = path if path.startswith("http") else f"{self.url}/console{path}"
        async with self.session.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as response:
            for cookie in response.headers.getall("set-cookie", []):
                self.set_cookies.append(cookie)
                name, _, value = cookie.partition(";")[0].partition("=")
                if "Max-Age=0" in cookie or not value.strip('"'):
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = value
            return Answer(response.status, await response.read(), response.headers)

    async def login(self, token: str) -> Answer:
        found = await self("POST", "/api/login", {"token": token})
        if found.status == 200:
            self.csrf = found.body["csrf"]
        return found


class Console:
    """A running one."""

    def __init__(self, app: App, url: str, file: Path, log: io.StringIO) -> None:
        self.app, self.url, self.file, self.log = app, url, file, log
        self.browsers: list[Browser] = []

    def browser(self) -> Browser:
        self.browsers.append(Browser(self.url))
        return self.browsers[-1]

    async def as_(self, name: str) -> Browser:
        """A browser in which somebody is logged in: ``VIEW``, ``OPER`` or ``ADMIN``."""
        browser = self.browser()
        assert (await browser.login(TOKENS[name])).status == 200
        return browser


@asynccontextmanager
async def console(
    folder: Path, text: str = CONFIG, *, env: Mapping[str, str] | None = None, watch: bool = True
) -> AsyncIterator[Console]:
    """The router of ``text``, which stands in ``folder``; its file is watched."""
    file = folder / "wayside.yaml"
    file.write_text(text.replace("FOLDER", str(folder / "state")))
    log = io.StringIO()
    everything = {**TOKENS, "HOME": str(folder), **(env or {})}
    app = App(read(file.read_bytes(), str(file), env=everything), env=everything,
              log=Log(log, console=False))  # fmt: skip
    watching = asyncio.create_task(app.watcher(0.02).run()) if watch else None
    server = await serve_management(app.management.app(), "127.0.0.1", 0)
    port = server.servers[0].sockets[0].getsockname()[1]
    found = Console(app, f"http://127.0.0.1:{port}", file, log)
    try:
        yield found
    finally:
        for browser in found.browsers:
            await browser.session.close()
        await server.stop()
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        await app.close()
        app.fleet.close()
