"""Wayside's programs as processes, and clients that speak to them from a test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    b'"finish_reason":"stop","message":{"role":"assistant","content":"ok"}}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}'
)
EVENT = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"ok "},"finish_reason":null}]}\n\n'
)


class Model:
    """A model server: a completion after ``delay_s``, or ``events`` events ``delay_s`` apart."""

    def __init__(self, delay_s: float = 0.0, events: int = 5) -> None:
        self.delay_s, self.events = delay_s, events
        self.port, self.asked, self.fails = 0, 0, 0
        """``fails``: so many of the next requests are answered 503."""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._serve, host, 0, backlog=1000)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                    await self._answer(await reader.readexactly(length), writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.fails:
            self.fails -= 1
            writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
        elif b'"stream": true' in body or b'"stream":true' in body:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n")
            for event in [EVENT] * self.events + [b"data: [DONE]\n\n"]:
                writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                await writer.drain()
                await asyncio.sleep(self.delay_s)
            writer.write(b"0\r\n\r\n")
        else:
            await asyncio.sleep(self.delay_s)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            writer.write(head + b"content-length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
        await writer.drain()


@contextlib.asynccontextmanager
async def model(delay_s: float = 0.0, events: int = 5) -> AsyncIterator[Model]:
    made = Model(delay_s, events)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


class Program:
    """``wayside ...``, its log and its end."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self.log = process, log

    @property
    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in self.text.splitlines():
            with contextlib.suppress(ValueError):
                made = json.loads(line)
                if isinstance(made, dict) and made.get("event") == name:
                    found.append(made)
        return found

    async def event(self, name: str, count: int = 1, within_s: float = 30.0) -> dict[str, Any]:
        """The ``count``-th of its kind."""
        try:
            async with asyncio.timeout(within_s):
                while len(found := self.events(name)) < count:
                    if self.process.returncode is not None and not self.events(name):
                        raise AssertionError(f"it ended: {self.text}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {name!r} in time: {self.text[-3000:]}") from None
        return found[count - 1]

    async def url(self, event: str = "serving") -> str:
        return str((await self.event(event))["url"]).removesuffix("/v1")

    async def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; its exit status."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), within_s)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        assert self.process.returncode is not None
        return self.process.returncode

    def rss_mib(self) -> float:
        """What it holds of the machine's memory, in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("it is gone")


def written(folder: Path, document: Mapping[str, Any]) -> Path:
    """A configuration file; ports are free ones unless told."""
    path = folder / "wayside.yaml"
    whole = {"listen": {"port": 0}, "management": {"port": 0}, "log": {"format": "json"}}
    path.write_text(yaml.safe_dump({**whole, **document}))
    return path


@contextlib.asynccontextmanager
async def program(
    folder: Path,
    *arguments: str,
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    name: str = "log",
) -> AsyncIterator[Program]:
    """``before`` is a command that runs it, such as ``setpriv ... --``."""
    log = folder / name
    environ = dict(os.environ) if env is None else dict(env)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *before,
            *(sys.executable, "-m", "wayside", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
            env=environ,
            start_new_session=True,
        )
    made = Program(process, log)
    try:
        yield made
    finally:
        await made.stop()
