"""What a real Redis server does to the store when it fails, and that requests hardly notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.stores.redis_rig import RedisServer
from wayside.stores.base import Tools
from wayside.stores.redis import RedisSettings, RedisStore
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Credential
from wayside.vocab.stores import Get, Put, Recall, Recalled, Remember

R = "shared"
TIMEOUT_S = 0.15
"""Longer than the setting's own default: this machine is shared."""
Serve = Callable[..., RedisServer]
both = pytest.mark.parametrize("search", [False, True], ids=["plain", "search"])
"""Two makes of server: they word their refusals differently."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    made: list[RedisServer] = []

    def make(*options: str, **more: Any) -> RedisServer:
        made.append(RedisServer(tmp_path, *options, **more))
        return made[-1]

    yield make
    for server in made:
        server.close()


class Rig:
    """A store, and what it reports."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.password = Credential("", "", "")
        rule = RedisSettings(url=url, timeout_ms=int(TIMEOUT_S * 1000), **settings)
        tools = Tools(R, lambda reference, where: self.password, self._report)
        self.store = RedisStore(rule, tools)

    def _report(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self.lines]

    async def recall(self, key: str = "k", **more: Any) -> Recalled:
        return await self.store.recall(Recall(R, "p", key, **more))

    async def remember(self, key: str = "k", body: bytes = b"four") -> None:
        await self.store.remember(Remember(R, "p", key, body, 60))

    async def until(self, ok: bool, within_s: float = 15.0) -> None:
        """Until the store says that it is well, or is not."""
        end = time.monotonic() + within_s
        while self.store.standing().ok is not ok:
            assert time.monotonic() < end, (self.store.standing(), self.lines)
            await asyncio.sleep(0.01)


@pytest.fixture
async def rig() -> AsyncIterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(*args: Any, **settings: Any) -> Rig:
        made.append(Rig(*args, **settings))
        return made[-1]

    yield make
    for each in made:
        each.store.close()
    await asyncio.sleep(0)


async def fails(asking: Awaitable[Any]) -> tuple[str, float]:
    """Why it fails, and after how many seconds."""
    began = time.monotonic()
    with pytest.raises(AskFailed) as failed:
        await asking
    return str(failed.value), time.monotonic() - began


async def costs_nothing(rig: Rig) -> None:
    """Fifty requests to a store that is away: together they cost less than one wait."""
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(AskFailed):
            await rig.recall(wait_s=5.0)
    assert time.monotonic() - began < TIMEOUT_S


async def test_a_server_that_is_not_there_is_found_when_it_comes(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve()
    shared = rig(server.url)
    why, _ = await fails(shared.recall())
    assert "No such file" in why or "not connected" in why
    await costs_nothing(shared)
    server.start()
    await shared.until(True)
    await shared.remember()
    assert (await shared.recall()).hits
    assert shared.events() == ["store down", "store up"]
    assert "Redis" in shared.lines[1][1]["mode"]


async def test_a_refused_connection_says_so(rig: Callable[..., Rig]) -> None:
    shared = rig("redis://127.0.0.1:1/0")
    await fails(shared.recall())
    await shared.until(False)
    await asyncio.sleep(0.05)
    assert shared.store.standing().why == "connection refused"


@both
async def test_killed_and_started_again(
    serve: Serve, rig: Callable[..., Rig], search: bool
) -> None:
    server = serve(search=search).start()
    shared = rig(server.url)
    await shared.remember()
    server.kill()
    why, took = await fails(shared.recall())
    assert took < 2 * TIMEOUT_S, why
    await costs_nothing(shared)
    server.start()
    await shared.until(True)
    assert (await shared.recall()).hits == ()  # it kept nothing on its disk
    await shared.remember()
    assert (await shared.recall()).hits
    assert shared.events() == ["store up", "store down", "store up"]


async def test_killed_while_answers_are_under_way(serve: Serve, rig: Callable[..., Rig]) -> None:
    server = serve().start()
    shared = rig(server.url)
    await shared.remember()
    server.pause()
    asking = [asyncio.create_task(shared.recall(str(i))) for i in range(20)]
    await asyncio.sleep(0.01)
    server.kill()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, AskFailed) for each in found)


async def test_a_stalled_server_costs_one_wait_and_never_the_loop(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve().start()
    shared = rig(server.url)
    await shared.remember()
    server.pause()
    beats, began = 0, time.monotonic()

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    heart = asyncio.create_task(beat())
    asking = [fails(shared.recall(str(i), wait_s=5.0)) for i in range(20)]
    waits = await asyncio.gather(*asking)
    heart.cancel()
    assert max(took for _, took in waits) < 3 * TIMEOUT_S
    assert "no answer within 150 ms" in waits[0][0]
    assert beats > 0.2 * (time.monotonic() - began) / 0.005
    await costs_nothing(shared)
    await asyncio.sleep(1.3)  # attempts to connect to it fail meanwhile
    await costs_nothing(shared)
    server.resume()
    await shared.until(True)
    assert (await shared.recall()).hits
    assert shared.events()[0] == "store up" and shared.events()[-1] == "store up"
    assert shared.events().count("store up") == 2


async def test_a_stall_is_noticed_though_nobody_asks(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve().start()
    shared = rig(server.url)
    await shared.remember()
    server.pause()
    await shared.until(False)
    server.resume()
    await shared.until(True)


async def test_a_slow_server_is_not_waited_for(serve: Serve, rig: Callable[..., Rig]) -> None:
    """Each answer takes twice what the settings allow: it stays away, and says why."""
    server = serve(tcp=True).start()
    delay_s = 2 * TIMEOUT_S

    async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", server.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                await asyncio.sleep(delay_s / 2)
                sink.write(data)

        pumps = [pump(reader, forth), pump(back, writer)]
        handlers.update(map(asyncio.ensure_future, pumps))
        writers.extend([writer, forth])

    handlers: set[asyncio.Future[None]] = set()
    writers: list[asyncio.StreamWriter] = []
    proxy = await asyncio.start_server(through, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    shared = rig(f"redis://127.0.0.1:{port}/0", connections=1, connect_timeout_ms=5000)
    await fails(shared.recall())
    end = time.monotonic() + 10
    while "too slow" not in shared.store.standing().why:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
    await costs_nothing(shared)
    delay_s = 0.0
    await shared.until(True)
    await shared.remember()
    assert (await shared.recall()).hits
    proxy.close()
    for writer in writers:
        writer.close()
    await asyncio.gather(*handlers, return_exceptions=True)


async def test_a_server_of_something_else_is_no_store(rig: Callable[..., Rig]) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    shared = rig(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    await fails(shared.recall())
    await asyncio.sleep(0.1)
    assert not shared.store.standing().ok
    await costs_nothing(shared)
    server.close()


@pytest.mark.parametrize("given", ["wrong", ""])
async def test_a_wrong_password_is_said_and_a_corrected_one_taken(
    serve: Serve, rig: Callable[..., Rig], given: str
) -> None:
    server = serve("--requirepass", "right").start()
    shared = rig(server.url, password={"file": "/run/secrets/redis"})
    shared.password.value = given
    await fails(shared.recall())
    await shared.until(False)
    await asyncio.sleep(0.1)
    assert shared.store.standing().why == "it refuses the user or the password"
    await costs_nothing(shared)
    shared.password.value = "right"
    await shared.until(True)
    await shared.remember()
    assert (await shared.recall()).hits
    assert shared.events() == ["store down", "store up"]
    assert "right" not in repr(shared.lines) and "wrong" not in repr(shared.lines)


async def test_a_user_without_the_rights_and_a_cluster_are_told_at_once(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve("--user", "joe", "on", ">right", "~other:*", "+@all").start()
    shared = rig(server.url, username="joe", password={"file": "/run/secrets/redis"})
    shared.password.value = "right"
    await fails(shared.recall())
    await shared.until(False)
    await asyncio.sleep(0.1)
    assert "NOPERM" in shared.store.standing().why
    cluster = serve("--cluster-enabled", "yes").start()
    alone = rig(cluster.url)
    await fails(alone.recall())
    await asyncio.sleep(0.1)
    assert "slot" in alone.store.standing().why.lower()
    assert not alone.store.standing().ok
    await costs_nothing(alone)


@both
async def test_a_full_server_is_read_and_said_to_keep_nothing(
    serve: Serve, rig: Callable[..., Rig], search: bool
) -> None:
    server = serve(search=search).start()
    shared = rig(server.url)
    await shared.remember("old")
    server.command_line("CONFIG", "SET", "maxmemory", "1")
    for _ in range(3):
        assert "OOM" in (await fails(shared.remember("new")))[0]
        assert "OOM" in (await fails(shared.store.put(Put(R, "s", "k", b"v"))))[0]
    assert (await shared.recall("old")).hits
    assert (await shared.recall("new", wait_s=1.0)).leads  # in this process at least
    standing = shared.store.standing()
    assert not standing.ok and standing.why.startswith("OOM")
    server.command_line("CONFIG", "SET", "maxmemory", "0")
    await shared.remember("new")
    assert (await shared.recall("new")).hits
    assert shared.events() == ["store up", "store keeps nothing", "store keeps again"]
    assert shared.store.standing().ok


@both
async def test_a_server_that_is_read_only_is_read(
    serve: Serve, rig: Callable[..., Rig], search: bool
) -> None:
    server = serve(search=search).start()
    shared = rig(server.url)
    await shared.remember()
    await shared.store.put(Put(R, "s", "k", b"v"))
    server.command_line("REPLICAOF", "127.0.0.1", "1")
    assert (await shared.recall()).hits
    assert await shared.store.get(Get(R, "s", "k")) == b"v"
    for _ in range(3):
        assert "READONLY" in (await fails(shared.remember("new")))[0]
    assert shared.store.standing().why.startswith("READONLY")
    server.command_line("REPLICAOF", "NO", "ONE")
    await shared.remember("new")
    assert shared.events() == ["store up", "store keeps nothing", "store keeps again"]


@both
async def test_a_server_that_forgot_the_scripts_gets_them_again(
    serve: Serve, rig: Callable[..., Rig], search: bool
) -> None:
    server = serve(search=search).start()
    shared = rig(server.url)
    await shared.remember()
    server.command_line("SCRIPT", "FLUSH")
    assert "NOSCRIPT" in (await fails(shared.recall()))[0]
    await shared.until(True)
    assert (await shared.recall()).hits


async def test_a_busy_loop_is_not_taken_for_a_slow_server(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve().start()
    shared = rig(server.url)
    await shared.remember()
    asking = asyncio.create_task(shared.recall())
    await asyncio.sleep(0)
    time.sleep(2 * TIMEOUT_S)  # something else held the loop
    assert (await asking).hits
    assert shared.events() == ["store up"]


async def test_whoever_waits_for_another_is_told_when_the_server_goes(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve().start()
    one, other = rig(server.url), rig(server.url)
    assert (await one.recall(wait_s=5.0)).leads
    waiting = asyncio.create_task(other.recall(wait_s=30.0))
    await asyncio.sleep(0.05)
    server.kill()
    _, took = await fails(waiting)
    assert took < 1.0
    assert len(other.store.answers.leases) == 0


async def test_tls_is_verified(serve: Serve, rig: Callable[..., Rig], tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    files = {"cert": "cert.pem", "key": "key.pem", "ca-cert": "ca.pem"}
    options = [x for k, v in files.items() for x in (f"--tls-{k}-file", str(tmp_path / v))]
    server = serve(*options, "--tls-auth-clients", "no", search=True, tcp=True, tls=True).start()
    url = f"rediss://127.0.0.1:{server.port}/0"
    good = rig(url, tls={"ca_file": str(tmp_path / "ca.pem"), "server_name": "localhost"},
               connect_timeout_ms=10_000)  # fmt: skip
    good.store.open()
    await good.until(True)
    await good.remember()
    assert (await good.recall()).hits
    bad = rig(url, tls={"ca_file": str(tmp_path / "stranger.pem"), "server_name": "localhost"},
              connect_timeout_ms=10_000)  # fmt: skip
    await fails(bad.recall())
    end = time.monotonic() + 10
    while not bad.store.standing().why.startswith("TLS:"):
        assert time.monotonic() < end, bad.store.standing()
        await asyncio.sleep(0.02)
    other_name = rig(url, tls={"ca_file": str(tmp_path / "ca.pem"), "server_name": "elsewhere"},
                     connect_timeout_ms=10_000)  # fmt: skip
    await fails(other_name.recall())
    while "elsewhere" not in other_name.store.standing().why:
        assert time.monotonic() < end, other_name.store.standing()
        await asyncio.sleep(0.02)


async def test_a_closed_store_leaves_no_task_and_no_connection(
    serve: Serve, rig: Callable[..., Rig]
) -> None:
    server = serve().start()
    shared = rig(server.url)
    await shared.remember()
    before = server.command_line("CLIENT", "LIST").count(b"id=")
    shared.store.close()
    await asyncio.sleep(0.05)
    assert server.command_line("CLIENT", "LIST").count(b"id=") == before - 2
    assert len(asyncio.all_tasks()) == 1
    await fails(shared.recall())
