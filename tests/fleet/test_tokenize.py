"""Servers are asked for tokens beside everything else, and never too much."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.fleet.pages import PageServer, ok
from wayside.fleet.tokenize import WAITING, WAITING_ALL, Tokenizers
from wayside.vocab.endpoint import Endpoint


@contextlib.asynccontextmanager
async def asking(answer):
    """A server that answers so, the endpoint that it is, who asks it, and what that hears."""
    server, words = PageServer(), asyncio.Queue()
    server.answer = answer
    await server.up()
    tokenizers = Tokenizers(words.put_nowait)
    try:
        yield Endpoint("a", f"127.0.0.1:{server.port}"), tokenizers, words, server
    finally:
        tokenizers.close()
        await server.down()


async def test_it_asks_for_a_prompt_and_learns_its_tokens() -> None:
    heads, learnt = [], []

    def answer(path, head):
        heads.append(head)
        return ok('{"count": 2, "max_model_len": 99, "tokens": [7, 8], "token_strs": null}')

    async with asking(answer) as (endpoint, ask, words, server):
        ask(endpoint, b"", learnt.append)
        assert await words.get() == "ok" and learnt == [[7, 8]]
    assert server.asked == ["/tokenize"]
    assert heads[0].startswith("POST ") and "content-length: 0" in heads[0]


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        ("404 Not Found", "{}", "none"),
        ("500 Oh", "{}", "status"),
        ("200 OK", "{}", "body"),
        ("200 OK", '{"tokens": [-1]}', "body"),
        ("200 OK", '{"tokens": [4294967296]}', "body"),
        ("200 OK", "x", "body"),
    ],
)
async def test_one_that_cannot_is_left_alone(status, body, word) -> None:
    async with asking(lambda path, head: ok(body, status)) as (endpoint, ask, words, server):
        learnt = []
        ask(endpoint, b"", learnt.append)
        assert await words.get() == word
        await asyncio.sleep(0)
        ask(endpoint, b"", learnt.append)
        await asyncio.sleep(0.05)
        assert len(server.asked) == 1 and not learnt and words.empty()


async def test_what_does_not_fit_is_not_asked_and_the_newest_comes_first() -> None:
    async with asking(lambda path, head: None) as (endpoint, ask, _, _server):
        for i in range(10):
            ask(endpoint, bytes(WAITING // 4), [i].append)
        asked = ask._asked[endpoint]
        assert asked.bytes <= WAITING and len(asked.waiting) <= 4
        assert sum(len(body) for body, _ in asked.waiting) == asked.bytes
        task = asked.task
        ask.keep(set())
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled() and not ask._asked


async def test_prompts_that_wait_for_many_servers_are_bounded_together() -> None:
    ask = Tokenizers()
    servers = [Endpoint(f"s{i}", f"127.0.0.1:{i + 1}") for i in range(40)]
    for server in servers:
        for i in range(3):
            ask(server, bytes(1 << 20), [i].append)
    assert ask.waiting == sum(a.bytes for a in ask._asked.values()) == WAITING_ALL
    ask.keep(set(servers[:5]))
    assert ask.waiting == sum(a.bytes for a in ask._asked.values()) == 5 * 3 << 20
    ask.close()
    assert ask.waiting == 0


async def test_an_answer_has_no_more_tokens_than_its_prompt_may_have() -> None:
    many = '{"tokens": [%s1]}' % ("1," * 100_000)
    async with asking(lambda path, head: ok(many)) as (endpoint, ask, words, _server):
        learnt = []
        ask(endpoint, b"", learnt.append)
        assert await words.get() == "size" and not learnt
