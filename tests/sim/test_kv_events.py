"""A subscriber hears what the KV cache holds, in vLLM's frames and hashes."""

import asyncio
import contextlib
import struct
import sys

import msgspec
import pytest
import zmq
import zmq.asyncio

from wayside.sim import KvEvents, SimModel, SimServer, serve_sim, token_ids
from wayside.sim.block_hash import BlockHasher, told_hash

from .conftest import chat

PROMPT = "One two three four five six seven eight nine ten. " * 6  # 300 characters, 4 blocks


class Index:
    """What an index of blocks makes of the messages: hash to parent, for each topic."""

    def __init__(self, socket):
        self.socket = socket
        self.numbers = []
        self.events = []
        self.blocks = {}

    async def hear(self, count=1):
        """Take in so many messages; the last one's topic and events."""
        for _ in range(count):
            async with asyncio.timeout(10):
                topic, number, body = await self.socket.recv_multipart()
            self.numbers.append(struct.unpack(">Q", number)[0])
            stamp, events, rank = msgspec.msgpack.decode(body)
            assert stamp > 1.7e9 and rank == 0
            for event in events:
                self.take(*event)
            self.events += events
        return topic.decode(), events

    def take(self, kind, *fields):
        match kind, fields:
            case "BlockStored", (hashes, parent, tokens, size, lora, medium, name):
                assert medium == "GPU" and len(tokens) == size * len(hashes)
                assert parent is None or parent in self.blocks
                assert (lora is None) == (name is None)
                for number in hashes:
                    assert number not in self.blocks
                    self.blocks[number], parent = parent, number
            case "BlockRemoved", (hashes, medium):
                assert medium == "GPU"
                for number in hashes:
                    del self.blocks[number]
            case "AllBlocksCleared", ():
                self.blocks.clear()
            case _:
                raise AssertionError(f"no such event: {kind} {fields}")


@contextlib.contextmanager
def subscriber(*, connect="", bind=False):
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.SUB)
    socket.linger = 0
    try:
        socket.subscribe(b"kv@")
        if bind:
            socket.bind("tcp://127.0.0.1:*")
        else:
            socket.connect(connect)
        yield Index(socket)
    finally:
        socket.close()
        context.term()


def server(endpoint="tcp://127.0.0.1:*", *, bind=True, topic=None, seed="42", **model):
    events = KvEvents(endpoint, bind, topic, seed)
    return SimServer((SimModel("small", **model),), kv_events=events)


def expected(text, extra=()):
    hasher, name, out = BlockHasher("42"), None, []
    for start in range(0, len(text) - 63, 64):
        name = hasher.name(name, token_ids(text[start : start + 64]), list(extra))
        out.append(told_hash(name))
    return out


async def ask(http, sim, content=PROMPT, **more):
    async with http.post(f"{sim.url}/v1/chat/completions", json=chat(content, **more)) as response:
        assert response.status == 200
        return (await response.json())["choices"][0]["message"]["content"]


async def test_a_prompt_and_its_answer_are_told_as_vllm_tells_them(http):
    async with serve_sim([server()]) as [sim]:
        with subscriber(connect=sim.kv_events.endpoint) as index:
            assert (await index.hear())[1] == [["AllBlocksCleared"]]
            answer = await ask(http, sim, ignore_eos=True, max_tokens=64)
            topic, [stored] = await index.hear()
            assert topic == f"kv@127.0.0.1:{sim.port}@small"
            assert stored == [
                "BlockStored",
                expected(PROMPT),
                None,
                list(token_ids(PROMPT[:256])),
                16,
                None,
                "GPU",
                None,
            ]
            _, [grown] = await index.hear()
            assert grown[1] == expected(f"{PROMPT}\n{answer}")[4:]
            assert grown[2] == stored[1][-1], "after the last block of the prompt"
            assert index.numbers == [0, 1, 2]
            assert len(index.blocks) == sim.replica.engines["small"].kv.cached


async def test_what_is_found_is_not_told_again_and_what_goes_is(http):
    async with serve_sim([server(kv_blocks=24)]) as [sim]:
        with subscriber(connect=sim.kv_events.endpoint) as index:
            await index.hear()
            cache = sim.replica.engines["small"].kv
            for number in (1, 1, 2, 3, 1, 4, 5, 6):
                await ask(http, sim, f"{number}" * 300, max_tokens=20)
            sent = sim.kv_events.sent
            await index.hear(sent - 1)
            assert index.numbers == list(range(sent))
            assert len(index.blocks) == cache.cached
            kinds = [event[0] for event in index.events]
            assert kinds.count("BlockRemoved") >= 2


async def test_reset_is_told(http):
    async with serve_sim([server()]) as [sim]:
        with subscriber(connect=sim.kv_events.endpoint) as index:
            await index.hear()
            await ask(http, sim, max_tokens=1)
            await index.hear()
            assert index.blocks
            async with http.post(f"{sim.url}/reset_prefix_cache") as response:
                assert response.status == 200
            assert (await index.hear())[1] == [["AllBlocksCleared"]]
            await ask(http, sim, max_tokens=1)
            assert (await index.hear())[1][0][1] == expected(PROMPT), "told anew"


async def test_after_a_restart_numbers_begin_again_and_all_is_cleared_first(http):
    """In dial mode: many servers connect to one subscriber, and find it again."""
    with subscriber(bind=True) as index:
        endpoint = index.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        async with serve_sim([server(endpoint, bind=False)]) as [sim]:
            await index.hear()
            await ask(http, sim, max_tokens=1)
            await index.hear()
            assert index.numbers == [0, 1] and index.blocks
            await sim.down()
            await sim.up()
            assert (await index.hear())[1] == [["AllBlocksCleared"]]
            assert index.numbers == [0, 1, 0] and not index.blocks
            await ask(http, sim, max_tokens=1)
            assert (await index.hear())[1][0][1] == expected(PROMPT), "it was forgotten here too"


async def test_nothing_is_called_cleared_that_is_there(http):
    """Whoever comes late hears of what comes next, and not that there was nothing before."""
    async with serve_sim([server()]) as [sim]:
        await ask(http, sim, max_tokens=1)
        with subscriber(connect=sim.kv_events.endpoint) as index:
            async with asyncio.timeout(10):
                while not sim.kv_events.subscribers:
                    await asyncio.sleep(0.01)
                    sim.kv_events._heed()
            await ask(http, sim, content="Another beginning. " * 30, max_tokens=1)
            (stored,) = (await index.hear())[1]
            assert stored[0] == "BlockStored" and index.numbers == [1]


async def test_an_adapters_blocks_are_its_own(http):
    async with serve_sim([server(loras=("Alice", "Bob"))]) as [sim]:
        with subscriber(connect=sim.kv_events.endpoint) as index:
            await index.hear()
            for name in ("Alice", "Bob", "Alice"):
                await ask(http, sim, model=name, max_tokens=1)
            for name, number in (("Alice", 1), ("Bob", 2)):
                [stored] = (await index.hear())[1]
                assert stored[1] == expected(PROMPT, [name])
                assert (stored[5], stored[7]) == (number, name)
            assert sim.kv_events.sent == 3


async def test_a_salt_marks_the_first_block_only(http):
    async with serve_sim([server()]) as [sim]:
        with subscriber(connect=sim.kv_events.endpoint) as index:
            await index.hear()
            await ask(http, sim, max_tokens=1, cache_salt="s")
            [stored] = (await index.hear())[1]
    hasher = BlockHasher("42")
    name = hasher.name(None, token_ids(PROMPT[:64]), ["s"])
    assert stored[1][0] == told_hash(name)
    assert stored[1][1] == told_hash(hasher.name(name, token_ids(PROMPT[64:128]), []))


async def test_the_topic_may_be_given_and_sleep_forgets(http):
    async with serve_sim([server(topic="kv@pod-1@m")]) as [sim]:
        with subscriber(connect=sim.kv_events.endpoint) as index:
            assert (await index.hear())[0] == "kv@pod-1@m"
            await ask(http, sim, max_tokens=1)
            await index.hear()
            async with http.post(f"{sim.url}/sleep?level=1") as response:
                assert response.status == 200
            assert (await index.hear())[1] == [["AllBlocksCleared"]]


async def test_an_endpoint_in_use_is_an_error_and_leaves_nothing_behind():
    async with serve_sim([server()]) as [sim]:
        again = server(sim.kv_events.endpoint)
        with pytest.raises(OSError, match=r"kv_events\.endpoint tcp://127"):
            async with serve_sim([again]):
                pass


async def test_without_pyzmq_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zmq", None)
    with pytest.raises(RuntimeError, match=r"wayside\[kv-events\]"):
        async with serve_sim([server()]):
            pass


@pytest.mark.parametrize("endpoint", ["", "localhost:5557", "http://x"])
def test_an_endpoint_is_in_zeromqs_words(endpoint):
    with pytest.raises(ValueError, match="endpoint"):
        KvEvents(endpoint=endpoint)
