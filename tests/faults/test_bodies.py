"""Faults 1 to 5: bodies that are no JSON, too deep, too long, packed, or of wrong types."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.conftest import MAX_BODY
from tests.faults.wire import checked, error_of, port, request, say, status
from tests.gateway.api_rig import listening
from tests.gateway.rig import answering, upstream
from tests.running import Running, build, chat, running
from wayside.sim import Sim
from wayside.vocab.outcome import Reply, Request

GOOD = b'{"model":"%b","messages":[{"role":"user","content":"hi"}],"x":1}'
BAD: Mapping[str, bytes] = {
    "nothing": b"",
    "cut short": GOOD[:-9],
    "something after it": GOOD + b" x",
    "two documents": GOOD + b"\n" + GOOD,
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "not UTF-8, where it is read": GOOD.replace(b"hi", b"\xff\xfe"),
    "not UTF-8, where nobody reads it": GOOD.replace(b"1}", b'"\xc3\x28"}'),
    "a surrogate as UTF-8": GOOD.replace(b"hi", b"\xed\xa0\x80"),
    "an overlong zero": GOOD.replace(b"1}", b'"\xc0\x80"}'),
    "NaN": GOOD.replace(b"1}", b"NaN}"),
    "Infinity": GOOD.replace(b"1}", b"-Infinity}"),
    "a line break in a string": GOOD.replace(b"hi", b"h\ni"),
    "single quotes": GOOD.replace(b'"', b"'"),
    "a comment": GOOD.replace(b"1}", b"1 /* */}"),
    "the model twice": GOOD.replace(b"1}", b'1,"model":"big"}'),
    "the model twice, once in disguise": GOOD.replace(b"1}", b'1,"mod\\u0065l":"big"}'),
}
WIDE = ("utf-16", "utf-16-le", "utf-32-be")
PATH = "/v1/chat/completions"


@pytest.mark.parametrize("model", ["auto", "small"])
@pytest.mark.parametrize("what", [*BAD, *WIDE])
async def test_fault_01_what_is_no_json_is_a_400_that_says_so(
    router: Running, sim: Sim, what: str, model: str
) -> None:
    """Expected: 400 ``invalid_json`` in OpenAI's shape without a stack trace, whether a model is
    named or chosen; nothing of it reaches a model; two ``model`` keys are none."""
    body = BAD[what] if what in BAD else GOOD.decode().encode(what)
    before = sim.stats.requests
    answer = await router.ask(body.replace(b"%b", model.encode()))
    assert answer.status == 400, answer.body
    assert checked(answer.json)["code"] == "invalid_json"
    assert sim.stats.requests == before


def cost(body: bytes, path: str = PATH) -> tuple[Reply, float, int]:
    """The refusal of a body, with seconds of CPU time and bytes of memory it took at most."""
    app, _ = _app()
    began = time.process_time()
    found = app.runtime.handle(Request("POST", path, {}, body))
    took = time.process_time() - began
    tracemalloc.start()
    try:
        app.runtime.handle(Request("POST", path, {}, body))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(found, Reply), found
    return found, took, most


_made: list[Any] = []


def _app() -> Any:
    if not _made:
        _made.append(
            build(
                {
                    "models": {"small": {"endpoints": ["http://127.0.0.1:1"]}},
                    "routing": {
                        "default_model": "small",
                        "signals": {"keyword": {"k": {"keywords": ["k"]}}},
                        "decisions": [{"name": "k", "when": "keyword:k", "models": ["small"]}],
                    },
                }
            )
        )
    return _made[0]


def test_fault_01_it_is_refused_in_milliseconds() -> None:
    """Expected: at most 5 ms. The quickest of five counts: the machine is shared."""
    for what in BAD.values():
        assert min(cost(what.replace(b"%b", b"auto"))[1] for _ in range(5)) < 0.005, what


MANY: Mapping[str, tuple[str, bytes]] = {
    "100,000 deep": (PATH, b'{"model":"auto","messages":' + b"[" * 100_000 + b"}"),
    "100,000 deep and whole": (
        PATH,
        b'{"model":"auto","messages":[],"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ),
    "deep, for a named model": (PATH, b'{"model":"small","x":' + b"[" * 100_000 + b"]" * 100_000),
    "deep content": (
        "/v1/messages",
        b'{"model":"auto","messages":[{"role":"user","content":' + b"[" * 100_000,
    ),
    "a million messages": (
        PATH,
        b'{"model":"auto","messages":[' + b'{"role":"user"},' * 999_999 + b'{"role":"user"}]}',
    ),
    "a million empty messages": (
        PATH,
        b'{"model":"auto","messages":[' + b"{}," * 999_999 + b"{}]}",
    ),
    "a million messages for a named model": (
        PATH,
        b'{"model":"small","messages":[' + b"{}," * 999_999 + b"{}]}",
    ),
    "a million tools": (
        PATH,
        b'{"model":"auto","messages":[],"tools":[' + b"{}," * 999_999 + b"{}]}",
    ),
    "a million parts": (
        PATH,
        b'{"model":"auto","messages":[{"role":"user","content":[' + b"{}," * 999_999 + b"{}]}]}",
    ),
    "a million keys": (
        PATH,
        b'{"model":"auto","messages":[],"metadata":{'
        + b",".join(b'"%d":1' % i for i in range(1_000_000))
        + b"}}",
    ),
    "a million blocks": (
        "/v1/messages",
        b'{"model":"auto","max_tokens":1,"messages":[{"role":"user","content":['
        + b"{}," * 999_999
        + b"{}]}]}",
    ),
    "a million items": (
        "/v1/responses",
        b'{"model":"auto","input":[' + b"{}," * 999_999 + b"{}]}",
    ),
    "two million token ids": (
        "/v1/completions",
        b'{"model":"small","prompt":[' + b"7," * 1_999_999 + b"7]}",
    ),
    "a number that is none": (
        PATH,
        b'{"model":"auto","messages":[{"role":"user","content":"k"}],"metadata":{"a":1e400}}',
    ),
}


@pytest.mark.parametrize("what", MANY)
def test_fault_02_what_is_too_deep_or_too_many_is_refused_before_it_is_built(what: str) -> None:
    """Expected: 400 by a limit of depth and of count before objects are made, for numbers that no
    double holds, too; memory grows by less than four times the body."""
    path, body = MANY[what]
    found, took, most = cost(body, path)
    assert found.status == 400, found.body
    assert took < 1.0, f"{took:.2f} s"
    assert most < max(4 * len(body), 200_000), f"{most:,} bytes for {len(body):,}"
    said = json.loads(found.body)["error"]
    assert said["message"]


def test_fault_02_long_texts_full_of_commas_are_not_many_values() -> None:
    """What stands in strings is not counted, and an honest conversation is far from the limit."""
    app, _ = _app()
    text = 'a, b [c] {d} \\" ' * 40_000
    body = json.dumps(chat(text)).encode()
    assert not isinstance(app.runtime.handle(Request("POST", PATH, {}, body)), Reply)
    turns = [{"role": r, "content": "k, k"} for r in ("user", "assistant")] * 2_500
    body = json.dumps({"model": "small", "messages": turns}).encode()
    assert not isinstance(app.runtime.handle(Request("POST", PATH, {}, body)), Reply)


async def test_fault_03_a_body_over_the_limit_is_413_as_soon_as_that_is_known(
    gateway: Running, sim: Sim
) -> None:
    """Expected: 413 as soon as the limit is passed, also of chunks without end, and the connection
    is closed; no more than the limit is held; a length that is wrong is no way around."""
    before = sim.stats.requests
    length = b"content-length: %d" % (MAX_BODY + 1)
    answer = await say(gateway, request(b"", length))
    assert status(answer) == 413 and error_of(answer)["code"] == "request_too_large"

    reader, writer = await asyncio.open_connection("127.0.0.1", port(gateway))
    writer.write(request(b"", b"transfer-encoding: chunked", close=False))
    sent, got = 0, b""
    while not got and sent < 64 * MAX_BODY:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()
        sent += 0x4000
        try:
            got = await asyncio.wait_for(reader.read(1 << 16), 0.002)
        except TimeoutError:
            continue
    assert status(got) == 413 and b"connection: close" in got
    assert sent < MAX_BODY + (2 << 20), f"{sent} bytes were taken"
    try:
        while data := await asyncio.wait_for(reader.read(1 << 16), 5):
            got += data
    except ConnectionError:
        pass
    writer.close()
    assert error_of(got)["code"] == "request_too_large"

    huge = await say(gateway, request(b"", b"content-length: 99999999999999999999"))
    assert status(huge) == 400
    assert sim.stats.requests == before


async def test_fault_03_a_wrong_or_missing_length(gateway: Running, sim: Sim) -> None:
    """Expected: what is promised and does not come is 408, what comes without being promised is
    the next request, which it is not; without a length there is no body."""
    good = GOOD % b"small"
    before = sim.stats.requests
    longer = await say(gateway, request(good, b"content-length: %d" % (len(good) + 5)))
    assert status(longer) == 408
    assert status(await say(gateway, request(b""))) == 400
    assert sim.stats.requests == before
    cut = request(good, b"content-length: %d" % (len(good) - 5), close=False)
    first, _, rest = (await say(gateway, cut)).partition(b"}HTTP/1.1")
    assert status(first) == 400, "a body cut short is no JSON"
    assert rest.startswith((b" 400", b" 408")), "and what is left is no request"


def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b" " * (1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(megabytes)) + packer.flush()


PACKED: Mapping[str, bytes] = {
    "gzip": _bomb(50),
    "deflate": zlib.compress(b" " * 10_000_000, 9),
    "br": b"\x5b\xff\xff\x03\x00" + b"\x00" * 99,
    "zstd": b"\x28\xb5\x2f\xfd" + b"\x00" * 99,
    "gzip, gzip": gzip.compress(gzip.compress(GOOD)),
    "x-unheard-of": GOOD,
    "identity, gzip": gzip.compress(GOOD),
}
PATHS = (PATH, "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses")


@pytest.mark.parametrize("encoding", PACKED)
async def test_fault_04_nothing_that_is_packed_is_unpacked(
    router: Running, sim: Sim, encoding: str
) -> None:
    """Expected: a bomb cannot go off, as nothing is ever unpacked: 415 whatever the encoding, and
    no model is asked. (The row's caps of size and ratio have nothing to bound here.)"""
    before = sim.stats.requests
    for path in PATHS:
        answer = await router.ask(PACKED[encoding], {"content-encoding": encoding}, path)
        assert answer.status == 415, (path, answer.status, answer.body[:200])
    assert sim.stats.requests == before


@pytest_asyncio.fixture(loop_scope="session")
async def management() -> AsyncIterator[str]:
    """A management listener."""
    async with listening({}) as api:
        yield api.url


async def test_fault_04_nor_for_the_management_api(management: str) -> None:
    """Expected: 415 there, too, in the shape of its errors."""
    async with aiohttp.ClientSession() as session:
        for encoding in PACKED:
            async with session.post(
                f"{management}/api/v1/classify/intent",
                data=PACKED[encoding],
                headers={"content-encoding": encoding, "content-type": "application/json"},
            ) as answer:
                assert answer.status == 415, (encoding, await answer.text())
                assert (await answer.json())["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


ODD: Mapping[str, tuple[dict[str, Any], str]] = {
    "messages are a text": ({"messages": "x"}, "messages"),
    "messages are nothing": ({"messages": None}, "messages"),
    "a turn is a number": ({"messages": [3]}, "messages[0]"),
    "a role is missing": ({"messages": [{"content": "x"}]}, "messages[0].role"),
    "content is a number": ({"messages": [{"role": "user", "content": 4}]}, "messages[0].content"),
    "stream is a word": ({"stream": "yes"}, "stream"),
    "stream is a number": ({"stream": 1}, "stream"),
    "model is nothing": ({"model": None}, "model"),
    "model is a list": ({"model": ["small"]}, "model"),
    "tools are an object": ({"tools": {"a": 1}}, "tools"),
}


@pytest.mark.parametrize("what", ODD)
async def test_fault_05_wrong_types_are_400_and_name_the_field(router: Running, what: str) -> None:
    """Expected: 400 with ``param``."""
    changed, param = ODD[what]
    answer = await router.ask({**chat("hi"), **changed})
    assert answer.status == 400, answer.body
    assert checked(answer.json)["param"] == param


REFUSAL = (
    b'{"error":{"message":"max_tokens must be at least 1, got -5.","type":"BadRequestError",'
    b'"param":"max_tokens","code":400}}'
)


async def test_fault_05_what_models_servers_judge_is_their_400() -> None:
    """Expected: options of the model are judged by the model's server, which alone knows them
    (-1 is no bound to some); its 400 and its ``param`` reach the client as they are."""
    head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
    said = head + b"content-length: %d\r\n\r\n" % len(REFUSAL) + REFUSAL
    async with upstream(answering(said)) as server:
        document = {"models": {"m": {"endpoints": [f"http://127.0.0.1:{server.port}"]}}}
        async with running("gateway", document) as router:
            for options in ({"temperature": "hot"}, {"max_tokens": -5}, {"n": "many"}):
                answer = await router.ask({**chat("hi", "m"), **options})
                assert (answer.status, answer.body) == (400, REFUSAL)


async def test_fault_05_extra_fields_pass_untouched(router: Running, sim: Sim) -> None:
    """Expected: unknown extra fields pass untouched, to the byte."""
    odd = b'"guided_json": {"a" : [1.0, 1e3, -0, "\\u00e9"]},  "z":"\xf0\x9f\x90\xbc"'
    body = GOOD.replace(b'"x":1', odd) % b"small"
    answer = await router.ask(body)
    assert answer.status == 200, answer.body
    assert sim.requests[-1].body == body
