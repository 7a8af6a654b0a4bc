"""KV cache events off a real ZeroMQ socket, and what a simulated fleet tells from end to end."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import errno
import itertools
import json
import socket
import struct
import time

import aiohttp
import msgspec
import pytest
import zmq

from wayside.endpoints.precise_prefix_cache import (
    PrecisePrefixCacheRule,
    PrecisePrefixCacheScorer,
)
from wayside.fleet import Fleet, kv_events
from wayside.fleet.kv_events import KvEvents, hearers
from wayside.fleet.picking import profile
from wayside.fleet.tokenize import Tokenizers
from wayside.fleet.view import View
from wayside.settings import ModelSettings, PickingSettings
from wayside.settings.fleet import FleetSettings
from wayside.sim import KvEvents as SimKvEvents
from wayside.sim import SimModel, SimServer, serve_sim
from wayside.telemetry.metrics import Metrics
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.errors import ConfigError


class Publisher:
    """A server's end, as vLLM speaks."""

    def __init__(self, topic: bytes = b"kv@127.0.0.1@m") -> None:
        self.topic, self.number = topic, 0
        self.socket = zmq.Context.instance().socket(zmq.XPUB)
        self.socket.linger = self.socket.sndhwm = 0

    def bind(self, where: str = "tcp://127.0.0.1:*") -> int:
        self.socket.bind(where)
        return int(self.socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    async def subscribed(self) -> None:
        """Somebody listens."""
        async with asyncio.timeout(10):
            while not self.socket.poll(0):
                await asyncio.sleep(0.005)
        assert self.socket.recv() == b"\1kv@"

    def tell(self, *events, body: bytes | None = None, number: bytes | None = None) -> None:
        body = msgspec.msgpack.encode([0.0, events]) if body is None else body
        number = struct.pack(">Q", self.number) if number is None else number
        self.socket.send_multipart((self.topic, number, body))
        self.number += 1


@contextlib.contextmanager
def publisher(**more):
    made = Publisher(**more)
    try:
        yield made
    finally:
        made.socket.close()


class Heard:
    """Who hears, and the messages' outcomes as they come."""

    tokenizer = None
    reads = ("kv_events",)

    def __init__(self, **rule) -> None:
        self.rule = PrecisePrefixCacheRule(**rule)
        self.messages: list[tuple[str, bytes, int, bytes]] = []
        self.forgotten: list[str] = []
        self.words: asyncio.Queue[str] = asyncio.Queue()

    def hear(self, endpoint, source, number, body):
        self.messages.append((endpoint.name, source, number, body))
        return "ok"

    def forget(self, endpoint) -> None:
        self.forgotten.append(endpoint.name)

    async def word(self) -> str:
        async with asyncio.timeout(10):
            return await self.words.get()


@contextlib.asynccontextmanager
async def listening(heard: Heard, servers: list[Endpoint], **more):
    listener = KvEvents(lambda: [(heard, servers)], told=heard.words.put_nowait, **more)
    listener.look()
    try:
        yield listener
    finally:
        listener.close()


async def test_messages_reach_who_hears_with_their_server_and_number() -> None:
    with publisher() as told:
        heard = Heard(port=told.bind())
        async with listening(heard, [Endpoint("a", "127.0.0.1:8000")]):
            await told.subscribed()
            for _ in range(3):
                told.tell(["AllBlocksCleared"])
            assert [await heard.word() for _ in range(3)] == ["ok"] * 3
    body = msgspec.msgpack.encode([0.0, [["AllBlocksCleared"]]])
    assert heard.messages == [("a", b"0", n, body) for n in range(3)]


@pytest.mark.parametrize("frames", [[b"kv@x"], [b"kv@x", b"1", b""], [b"kv@x"] * 4])
async def test_what_is_no_message_is_counted_and_left(frames) -> None:
    with publisher() as told:
        heard = Heard(port=told.bind())
        async with listening(heard, [Endpoint("a", "127.0.0.1:8000")]):
            await told.subscribed()
            told.socket.send_multipart(frames)
            told.tell()
            assert [await heard.word(), await heard.word()] == ["malformed", "ok"]


async def test_many_messages_give_others_a_turn() -> None:
    with publisher() as told:
        heard = Heard(port=told.bind())
        async with listening(heard, [Endpoint("a", "127.0.0.1:8000")]):
            await told.subscribed()
            for _ in range(5000):
                told.tell()
            for _ in range(5000):
                assert await heard.word() == "ok"
            assert [number for _, _, number, _ in heard.messages] == list(range(5000))


async def test_fifty_servers_that_talk_at_once_leave_the_loop_to_others() -> None:
    """Each used to have a turn of its own, one after the other."""
    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(publisher()) for _ in range(50)]
        heards = [Heard(port=one.bind()) for one in told]
        began: list[float] = []

        def hear(*_: object) -> str:
            until = time.perf_counter() + 0.001  # what a message of some size takes
            while time.perf_counter() < until:
                pass
            return "ok"

        for heard in heards:
            heard.hear = hear
        words: asyncio.Queue[str] = asyncio.Queue()
        server = Endpoint("a", "127.0.0.1:8000")
        listener = KvEvents(lambda: [(h, [server]) for h in heards], told=words.put_nowait)
        listener.look()
        try:
            for one in told:
                await one.subscribed()
            for one in told:
                for _ in range(10):
                    one.tell()
            loop = asyncio.get_running_loop()
            while words.qsize() < 500:
                began.append(loop.time())
                await asyncio.sleep(0)
            gaps = sorted(b - a for a, b in itertools.pairwise(began))
            assert gaps[-3] < 0.03, "not 50 ms and more"
        finally:
            listener.close()


async def test_as_many_servers_may_be_listened_to_as_there_are() -> None:
    """ZeroMQ's own bound is 1,023 sockets; one too many used to end listening to all."""
    heard, failed = Heard(port=5557), []
    servers = [Endpoint(f"s{i}", f"127.1.{i // 250}.{i % 250 + 1}:8000") for i in range(1200)]
    listener = KvEvents(lambda: [(heard, servers)], failed=lambda *why: failed.append(why))
    try:
        listener.look()
        assert not failed and len(listener._dialled) == 1200
    finally:
        listener.close()


async def test_a_socket_that_cannot_be_had_is_told_and_the_others_listen(monkeypatch) -> None:
    real, count = kv_events.Socket.__init__, itertools.count()

    def scarce(self, *what) -> None:
        if next(count) == 1:
            raise zmq.ZMQError(errno.EMFILE)
        real(self, *what)

    monkeypatch.setattr(kv_events.Socket, "__init__", scarce)
    heard, failed = Heard(port=5557), []
    servers = [Endpoint(f"s{i}", f"127.1.0.{i + 1}:8000") for i in range(3)]
    async with listening(heard, servers, failed=lambda *why: failed.append(why)) as listener:
        assert sorted(map(len, listener._dialled.values())) == [0, 1, 1]
    assert len(failed) == 1


async def test_a_server_that_went_is_listened_to_no_more_and_forgotten() -> None:
    with publisher() as told:
        heard, servers = Heard(port=told.bind()), [Endpoint("a", "127.0.0.1:8000")]
        async with listening(heard, servers) as listener:
            await told.subscribed()
            servers.clear()
            listener.look()
            assert heard.forgotten == ["a"]
            async with asyncio.timeout(10):
                while not told.socket.poll(0):
                    await asyncio.sleep(0.005)
            assert told.socket.recv() == b"\0kv@", "it is unsubscribed"


async def test_it_connects_again_to_a_server_that_comes_back() -> None:
    with publisher() as first:
        port = first.bind()
        heard = Heard(port=port)
        async with listening(heard, [Endpoint("a", "127.0.0.1:8000")]):
            await first.subscribed()
            first.tell()
            await heard.word()
            first.socket.close()
            with publisher() as second:
                async with asyncio.timeout(10):
                    while True:
                        try:
                            second.bind(f"tcp://127.0.0.1:{port}")
                            break
                        except zmq.ZMQError:  # the other's socket closes in its own time
                            await asyncio.sleep(0.02)
                await second.subscribed()
                second.tell()
                assert await heard.word() == "ok"
    assert [number for _, _, number, _ in heard.messages] == [0, 0]


async def test_each_rank_is_a_source_of_its_own() -> None:
    with publisher() as told:
        port = told.bind()
        heard = Heard(port=port - 1, ranks=2)
        async with listening(heard, [Endpoint("a", "127.0.0.1:8000")]):
            await told.subscribed()
            told.tell()
            await heard.word()
    assert [source for _, source, _, _ in heard.messages] == [b"1"]


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        (b"kv@10.0.0.2@m", "b"),
        (b"kv@10.0.0.1:8001@m", "a2"),
        (b"kv@10.0.0.1@m", None),
        (b"kv@10.9.9.9@m", None),
        (b"kv@", None),
    ],
)
async def test_servers_that_dial_us_are_known_by_their_topics(topic, name) -> None:
    servers = [
        Endpoint("a1", "10.0.0.1:8000"),
        Endpoint("a2", "10.0.0.1:8001"),
        Endpoint("b", "10.0.0.2:8000"),
    ]
    heard = Heard(bind="tcp://127.0.0.1:*")
    async with listening(heard, servers) as listener:
        with publisher(topic=topic) as told:
            told.socket.connect(listener._bound[heard].socket.where)
            await told.subscribed()
            told.tell()
            assert await heard.word() == ("ok" if name else "stranger")
    assert [n for n, *_ in heard.messages] == ([name] if name else [])


async def test_a_place_that_is_taken_is_told_once() -> None:
    failed = []
    with publisher() as other:
        heard = Heard(bind=f"tcp://127.0.0.1:{other.bind()}")
        async with listening(heard, [], failed=lambda *why: failed.append(why)) as listener:
            listener.look()
            listener.look()
    assert len(failed) == 1 and "in use" in failed[0][1]


async def test_without_pyzmq_it_says_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "zmq":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"^picking: .*wayside\[kv-events\]"):
        profile(PickingSettings.model_validate("precise_prefix_cache"))
    KvEvents(list).look()  # nobody wants to hear


def test_a_profile_says_which_of_its_parts_hear() -> None:
    found = profile(PickingSettings.model_validate({"scorers": ["precise_prefix_cache", "queue"]}))
    (part,) = hearers(found.parts)
    assert isinstance(part, PrecisePrefixCacheScorer) and "kv_events" in found.reads
    assert hearers(profile(PickingSettings.model_validate("queue")).parts) == []


# From end to end

STORY = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 12
OTHER = "Call me Ishmael. Some years ago, never mind how long precisely, having little. " * 12


class Whole:
    """Simulated servers, a scorer that hears them, and requests sent as a router would."""

    def __init__(self, http, sims, port: int = 5557, **rule) -> None:
        self.http, self.sims = http, sims
        self.part = PrecisePrefixCacheScorer(PrecisePrefixCacheRule(port=port, **rule))
        self.servers = [Endpoint(sim.url, sim.url.removeprefix("http://")) for sim in sims]
        self.words: list[str] = []
        self.learnt: list[str] = []
        self.listener = KvEvents(
            lambda: [(self.part, self.servers)],
            tokenizers=Tokenizers(self.learnt.append),
            told=self.words.append,
        )

    def need(self, messages, now: float = 0.0) -> Need:
        body = {"model": "m", "messages": messages, "max_tokens": 8, "ignore_eos": True}
        return Need("m", body=json.dumps(body).encode(), now=now)

    async def send(self, server: int, *texts: str) -> list[dict[str, str]]:
        """Ask a conversation there; with the answer, in what comes next."""
        roles = ["user", "assistant"]
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
        need = self.need(messages)
        self.part.chosen(need, self.servers[server])
        url = f"{self.sims[server].url}/v1/chat/completions"
        async with self.http.post(url, data=need.body) as response:
            said = json.loads(await response.read())["choices"][0]["message"]["content"]
        return [*messages, {"role": "assistant", "content": said}]

    def scores(self, messages) -> dict[int, float]:
        """Long after, so that only what the servers themselves said counts."""
        return dict(self.part.score(self.need(messages, now=1e6), Roster(tuple(self.servers))))

    async def until(self, true) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def fleet(*, dials: bool = False, kv_blocks: int = 4096, listens: bool = True):
    """Two servers; they publish at one port of two addresses, or dial us."""
    async with aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
        port = free_port()
        sims = []
        for host in ("127.0.0.1", "127.0.0.2"):
            where = "tcp://127.0.0.1" if dials else f"tcp://{host}"
            events = SimKvEvents(f"{where}:{port}", bind=not dials)
            model = SimModel("m", kv_blocks=kv_blocks)
            sims += await stack.enter_async_context(
                serve_sim([SimServer((model,), host=host, kv_events=events)])
            )
        rule = {"bind": f"tcp://127.0.0.1:{port}"} if dials else {}
        whole = Whole(http, sims, port, **rule)
        if not listens:
            yield whole
            return
        task = asyncio.create_task(whole.listener.run())
        try:
            await whole.until(lambda: all(whole.part._index.knows(e) for e in whole.servers))
            yield whole
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.parametrize("dials", [False, True], ids=["we dial", "they dial"])
async def test_a_simulated_fleet_is_known_as_it_is(dials) -> None:
    """What each server was asked is found there and nowhere else, also by the next turn, and a
    cache that was reset is empty at once."""
    async with fleet(dials=dials) as whole:
        one = await whole.send(0, STORY)
        two = await whole.send(1, OTHER)
        await whole.until(lambda: whole.learnt == ["ok", "ok"])
        await whole.until(lambda: len(whole.part._index) >= 2 * 15)
        for talk, server in ((one, 0), (two, 1)):
            longer = [*talk, {"role": "user", "content": "And then?"}]
            scores = whole.scores(longer)
            assert scores.keys() == {server} and scores[server] > 0.8
        await whole.send(0, OTHER)
        await whole.until(lambda: whole.scores(two[:1]).keys() == {0, 1})
        whole.sims[1].replica.engines["m"].kv.clear()
        await whole.until(lambda: whole.scores(two[:1]).keys() == {0})
        assert set(whole.words) == {"ok"}


async def test_what_a_server_evicts_is_not_expected_there() -> None:
    """The prefix that ``prefix_cache`` would still go by: row 14 of spec 7."""
    async with fleet(kv_blocks=24) as whole:
        talk = await whole.send(0, STORY)
        await whole.until(lambda: whole.scores(talk[:1]).get(0, 0) > 0.9)
        await whole.send(0, OTHER)
        await whole.until(lambda: whole.scores(talk[:1]).get(0, 0) < 0.8)
        guessed = whole.part._guess.shares(whole.need(talk[:1]), Roster(tuple(whole.servers)))
        assert guessed[0] == 1.0


async def test_a_server_that_restarts_has_nothing() -> None:
    async with fleet() as whole:
        talk = await whole.send(0, STORY)
        await whole.until(lambda: whole.scores(talk[:1]).get(0, 0) > 0.9)
        sim = whole.sims[0]
        await sim.down()
        await asyncio.sleep(0.3)  # ZeroMQ leaves the port in its own time
        await sim.up()
        await whole.until(lambda: whole.scores(talk[:1]) == {})
        assert "restart" in whole.words
        await whole.send(0, STORY)
        await whole.until(lambda: whole.scores(talk[:1]).get(0, 0) > 0.9)


async def test_a_gateways_fleet_picks_by_what_its_servers_tell() -> None:
    """Settings to choice: a view of the fleet listens, and requests follow what was told."""
    async with fleet(listens=False) as whole:
        port = whole.part.rule.port
        urls = [sim.url for sim in whole.sims]
        picking = {"scorers": [{"precise_prefix_cache": {"port": port}}]}
        model = ModelSettings.model_validate({"endpoints": urls, "picking": picking})
        gateway = Fleet({"m": model})
        view = View(
            gateway,
            FleetSettings,
            log=lambda event, **fields: None,
            metrics=Metrics(),
            keys=lambda *_: None,
            env={},
            dice=lambda: 0.5,
        )
        task, pool = asyncio.create_task(view.run()), gateway.pools["m"]
        (part,) = hearers(pool.profile.parts)
        try:
            await whole.until(lambda: all(part._index.knows(r) for r in pool.replicas))
            for server, text in ((0, STORY), (1, OTHER)):
                talk = [{"role": "user", "content": text}]
                pool.began(pool.replicas[server], whole.need(talk))
                await whole.send(server, text)
                await whole.until(lambda n=server: len(part._index) >= 15 * (n + 1))
            for server, text in ((0, STORY), (1, OTHER)):
                talk = [{"role": "user", "content": text}, {"role": "user", "content": "Well?"}]
                for dice in (0.1, 0.9):
                    taken = pool.pick(0.0, lambda d=dice: d, (), whole.need(talk, now=1e6))
                    assert taken is pool.replicas[server]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            gateway.close()
