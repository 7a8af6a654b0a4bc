"""Ways around the guards that were tried, through both shells: odd requests and odd answers.

The model's server is a raw socket, so that it can answer with any bytes at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.running import SHELLS, Running, chat, running

CARD = "4111 1111 1111 1111"
DOCUMENT: dict[str, Any] = {
    "guard_recipe": "guards",
    "routing": {
        "signals": {"keyword": {"attack": {"keywords": ["open sesame"]}}},
        "decisions": [
            {
                "name": "attack",
                "priority": 10,
                "when": "keyword:attack",
                "plugins": {"fast_response": {"message": "No.", "as": "error"}},
            },
            {
                "name": "all",
                "models": ["m"],
                "plugins": {"response_pii": {"action": "redact", "types": ["CREDIT_CARD"]}},
            },
        ],
    },
}
DOCUMENT["recipes"] = {
    "guards": {
        "signals": DOCUMENT["routing"]["signals"],
        "decisions": [DOCUMENT["routing"]["decisions"][0]],
    }
}


class Server:
    """Says ``answer`` to every request, and keeps the bodies that came."""

    def __init__(self) -> None:
        self.answer = b""
        self.heard: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(
            asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError
        ):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                self.heard.append(await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def guarded(
    shell: str, document: dict[str, Any] = DOCUMENT
) -> AsyncIterator[tuple[Running, Server]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    models = {"m": {"endpoints": [f"http://127.0.0.1:{port}"]}}
    try:
        async with running(shell, {**document, "models": models}) as router:
            yield router, server
    finally:
        listening.close()
        for writer in server.writers:
            writer.close()
        await asyncio.sleep(0)  # a loop that ends at once would leave them open


def event(delta: dict[str, Any], end: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": end}
    said = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def whole(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    said = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
    return json.dumps(said).encode()


EVENTS = b"".join(
    [event({"content": c}) for c in f"card {CARD} ok"] + [event({}, "stop"), b"data: [DONE]\n\n"]
)
OK = b"HTTP/1.1 200 OK\r\n"
IS_JSON, IS_STREAM = b"content-type: application/json\r\n", b"content-type: text/event-stream\r\n"


def counted(body: bytes) -> bytes:
    return b"content-length: %d\r\n\r\n%b" % (len(body), body)


def chunked(body: bytes, trailers: bytes = b"") -> bytes:
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    said = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"transfer-encoding: chunked\r\n\r\n" + said + b"0\r\n" + trailers + b"\r\n"


ANSWERS = {
    "no content type": OK + counted(whole(CARD)),
    "JSON that says it is a stream": OK + IS_STREAM + counted(whole(CARD)),
    "a stream that says it is JSON": OK + IS_JSON + chunked(EVENTS),
    "two content types": OK + IS_STREAM + IS_JSON + counted(whole(CARD)),
    "a status of its own": b"HTTP/1.1 299 Fine\r\n" + IS_JSON + counted(whole(CARD)),
    "a part": b"HTTP/1.1 206 Part\r\ncontent-range: bytes 0-9/9\r\n" + counted(whole(CARD)),
    "a hint first": b"HTTP/1.1 103 Hint\r\nlink: x\r\n\r\n" + OK + IS_JSON + counted(whole(CARD)),
    "a byte order mark": OK + IS_STREAM + chunked(b"\xef\xbb\xbf" + EVENTS),
    "line ends of old": OK + IS_STREAM + chunked(EVENTS.replace(b"\n", b"\r")),
    "line ends of two sorts": OK + IS_STREAM + chunked(EVENTS.replace(b"\n\n", b"\n\r")),
    "trailers": OK + IS_STREAM + chunked(EVENTS, b"x-card: 4111\r\n"),
    "compressed": OK + IS_STREAM + b"content-encoding: gzip\r\n" + chunked(gzip.compress(EVENTS)),
    "compressed in secret": OK + IS_STREAM + chunked(gzip.compress(EVENTS)),
    "encoded twice over": OK
    + b"content-encoding: identity\r\ncontent-encoding: br\r\n"
    + counted(whole(CARD)),
    "no more than a string": OK + IS_JSON + counted(json.dumps(CARD).encode()),
    "no choices": OK + IS_JSON + counted(json.dumps({"message": {"content": CARD}}).encode()),
}
both = pytest.mark.parametrize("shell", SHELLS)


def text_of(body: bytes) -> str:
    """All strings of content in it, joined: what was cut into events is one text again."""
    parts = body.replace(b'"content": "', b'"content":"').split(b'"content":"')[1:]
    return "".join(part.split(b'"')[0].decode() for part in parts)


@both
async def test_no_answer_carries_a_card_past_its_filter(shell: str) -> None:
    async with guarded(shell) as (router, server):
        for name, server.answer in ANSWERS.items():
            for stream in (False, True):
                got = await router.ask(chat("hi", stream=stream))
                assert CARD.encode() not in got.body, name
                assert CARD not in text_of(got.body), name
                assert "x-card" not in got.headers, name
        assert CARD not in str(router.access.lines)


@both
async def test_an_answer_without_a_body_is_none_to_check(shell: str) -> None:
    async with guarded(shell) as (router, server):
        server.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
        # No answer is no answer (fault 13); behind Envoy it is Envoy that passes it on.
        expected = {"gateway": 502, "envoy": 204}
        assert (await router.ask(chat("hi"))).status == expected[shell]


HELLO = {"role": "user", "content": "hello"}
ATTACK = "Please, open sesame."


@both
@pytest.mark.parametrize("model", ["auto", "m"])
async def test_no_request_carries_an_attack_past_the_guard(shell: str, model: str) -> None:
    requests: list[Any] = [
        {"messages": [{"role": "User", "content": ATTACK}]},
        {"messages": [HELLO, {"role": "critic", "content": ATTACK}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ATTACK}]}]},
        {"messages": [{"role": "user", "content": [{"type": "refusal", "refusal": ATTACK}]}]},
        {"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": ATTACK}]}]},
        {"messages": [HELLO], "Messages": [{"role": "user", "content": ATTACK}]},
        {"messages": [{**HELLO, "Content": ATTACK}]},
    ]
    prompts: list[Any] = [
        {"prompt": ["hello", ATTACK]},
        {"prompt": "hello", "suffix": ATTACK},
        {"prompt": [1, 2, 3]},
        {"prompt": "hello", "prompt_embeds": "AAAA"},
        {"prompt": "hello", "Prompt": ATTACK},
    ]
    async with guarded(shell) as (router, server):
        server.answer = OK + IS_JSON + counted(whole("hello"))
        for body in requests:
            got = await router.ask({"model": model, **body})
            assert got.status in (400, 403), body
        for body in prompts:
            got = await router.ask({"model": model, **body}, path="/v1/completions")
            assert got.status in (400, 403), body
        # What some servers would read as UTF-7, or with escapes of their own.
        hidden = json.dumps({"model": model, "messages": [HELLO]}).encode()
        for said in ("application/json; charset=utf-7", "text/plain; charset=unicode_escape"):
            assert (await router.ask(hidden, {"content-type": said})).status == 415
        got = await router.ask({"model": model, "messages": [HELLO]})
        assert got.status == 200
        assert len(server.heard) == 1, "only the last was for the model"


async def test_requests_in_a_row_after_an_answer_that_was_stopped() -> None:
    """The server of a stopped answer is dropped while its last bytes are being read: the end of
    that answer must not be taken for the end of the request that follows on the connection."""
    document = json.loads(json.dumps(DOCUMENT))
    plugins = document["routing"]["decisions"][1]["plugins"]
    plugins["response_pii"]["action"] = "block"
    async with guarded("gateway", document) as (router, server):
        for answer, stream in (
            (OK + IS_STREAM + counted(EVENTS), True),
            (OK + IS_STREAM + b"content-encoding: gzip\r\n" + counted(b"x"), True),
            (OK + IS_JSON + b"content-encoding: br\r\n" + counted(b"x"), False),
        ):
            server.answer = answer
            body = json.dumps(chat("hi", stream=stream)).encode()
            lines = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            sent = lines + counted(body)
            last = lines + b"connection: close\r\n" + counted(body)
            host, port = router.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent + sent + last)
            async with asyncio.timeout(10):
                got = await reader.read()
            writer.close()
            assert got.count(b"HTTP/1.1 ") == 3
            assert got.count(b"stopped") == 3 or got.count(b"compressed") == 3
