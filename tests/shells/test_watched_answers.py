"""Answers that filters watch, in both shells: let through, changed, stopped; whole and streamed.

The plugin is a throw-away one, so that what is tested is the way an answer takes, not a guard.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import pytest
from aiohttp import web
from openai import AsyncOpenAI
from tests.running import SHELLS, Running, chat, running

from wayside.catalog import catalog
from wayside.plugins import Blocked, Channel, Draft
from wayside.settings import Settings
from wayside.vocab.ask import Classify, Flow, ask
from wayside.vocab.prompt import Prompt

SECRET = "open sesame"


class CensorRule(Settings):
    """Example: ``{then: redact}``"""

    then: Literal["redact", "block", "refuse", "warn"] = "redact"
    """What becomes of an answer that says the secret."""
    slowly: bool = False
    """Ask an engine that takes its time, about every piece."""


class Censor:
    """Holds back as many characters as could begin the secret."""

    warnings: tuple[str, ...] = ()

    def __init__(self, rule: CensorRule) -> None:
        self.rule, self.held = rule, ""

    def feed(self, text: str, final: bool) -> str | Flow[str]:
        self.held += text
        if self.rule.slowly:
            return self._later(final)
        return self._release(final)

    def _later(self, final: bool) -> Flow[str]:
        yield from ask(Classify(self.held, "slow"))
        return self._release(final)

    def _release(self, final: bool) -> str:
        if SECRET in self.held:
            if self.rule.then == "warn":
                self.warnings = ("secret",)
            elif self.rule.then == "redact":
                self.held = self.held.replace(SECRET, "[...]")
            else:
                raise Blocked(
                    "I keep that to myself.", reason="secret", refuse=self.rule.then == "refuse"
                )
        keep = 0 if final else len(SECRET) - 1
        cut = max(0, len(self.held) - keep)
        released, self.held = self.held[:cut], self.held[cut:]
        return released


@pytest.fixture(autouse=True)
def censor() -> Iterator[None]:
    @catalog.register("plugin", "censor", settings=CensorRule)
    class CensorPlugin:
        """Censors answers."""

        def __init__(self, rule: CensorRule) -> None:
            self.rule = rule

        def before(self, prompt: Prompt, draft: Draft) -> None:
            draft.filters.append(self.make)

        def make(self, channel: Channel) -> Censor | None:
            return Censor(self.rule) if channel.kind == "text" else None

    yield
    del catalog._kinds["plugin", "censor"]


class Upstream:
    """A model server that says what it is told to, in pieces of its own choosing."""

    def __init__(self) -> None:
        self.words = ["Hello ", "there, ", "friend."]
        self.status = 200
        self.chunk = 17
        self.pause = 0.0
        self.encoding = ""
        self.asked: list[dict[str, Any]] = []
        self.cut_short = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append({"body": body, "headers": dict(request.headers)})
        if self.status != 200:
            return web.json_response({"error": {"message": SECRET}}, status=self.status)
        if not body.get("stream"):
            turn = {"role": "assistant", "content": "".join(self.words)}
            choice = {"index": 0, "message": turn, "finish_reason": "stop", "logprobs": None}
            usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
            whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m"}
            answer = web.json_response({**whole, "choices": [choice], "usage": usage})
            if self.encoding:
                answer.headers["content-encoding"] = self.encoding
            return answer
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        raw = b"".join(self.events())
        try:
            for at in range(0, len(raw), self.chunk):
                await response.write(raw[at : at + self.chunk])
                await asyncio.sleep(self.pause)
        except (ConnectionError, asyncio.CancelledError):
            self.cut_short = True
            raise
        return response

    def events(self) -> Iterator[bytes]:
        each = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

        def event(delta: dict[str, Any], end: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            return b"data: " + json.dumps({**each, "choices": [choice]}).encode() + b"\n\n"

        yield event({"role": "assistant", "content": ""})
        for word in self.words:
            yield event({"content": word})
        yield event({}, "stop")
        usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
        yield b"data: " + json.dumps({**each, "choices": [], "usage": usage}).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"


@contextlib.asynccontextmanager
async def watched(shell: str, **rule: Any) -> AsyncIterator[tuple[Running, Upstream]]:
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", upstream.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    document = {
        "models": {"m": {"endpoints": [f"http://127.0.0.1:{port}"]}},
        "routing": {"decisions": [{"name": "all", "models": ["m"], "plugins": {"censor": rule}}]},
    }
    try:
        async with running(shell, document) as router:

            async def slow(question: Classify) -> tuple[tuple[str, float], ...]:
                await asyncio.sleep(0.002)
                return (("fine", 1.0),)

            router.app.runtime._answerers[Classify] = slow
            yield router, upstream
    finally:
        await runner.cleanup()


def ask_for(router: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{router.url}/v1", api_key="unused", max_retries=0)


async def streamed(router: Running) -> tuple[str, list[str]]:
    """The text of a streamed answer, and its finish reasons."""
    text, reasons = "", []
    async with ask_for(router) as ai:
        stream = await ai.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                if choice.finish_reason:
                    reasons.append(choice.finish_reason)
    return text, reasons


both = pytest.mark.parametrize("shell", SHELLS)
slowly = pytest.mark.parametrize("slow", [False, True], ids=["at once", "slowly"])


@both
@slowly
async def test_a_whole_answer_is_let_through_as_it_came(shell: str, slow: bool) -> None:
    async with watched(shell, slowly=slow) as (router, upstream):
        answer = await router.ask(chat("hi"))
        assert answer.status == 200
        assert answer.json["choices"][0]["message"]["content"] == "Hello there, friend."
        assert answer.headers["x-vsr-response-path"] == "upstream"
        assert upstream.asked[0]["headers"].get("accept-encoding", "identity") == "identity"
        line = await router.line(answer)
        assert line["status"] == 200


@both
@slowly
async def test_a_whole_answer_is_changed(shell: str, slow: bool) -> None:
    async with watched(shell, slowly=slow) as (router, upstream):
        upstream.words = ["Say ", SECRET, " at the door."]
        answer = await router.ask(chat("hi"))
        assert answer.json["choices"][0]["message"]["content"] == "Say [...] at the door."
        assert int(answer.headers["content-length"]) == len(answer.body)


@both
@slowly
@pytest.mark.parametrize("chunk", [1, 17, 100_000])
async def test_a_stream_is_changed_however_it_is_cut(shell: str, slow: bool, chunk: int) -> None:
    async with watched(shell, slowly=slow) as (router, upstream):
        upstream.words, upstream.chunk = ["Say op", "en ses", "ame", " at the door."], chunk
        text, reasons = await streamed(router)
        assert text == "Say [...] at the door."
        assert reasons == ["stop"]


@both
@slowly
async def test_a_stream_is_stopped(shell: str, slow: bool) -> None:
    async with watched(shell, slowly=slow, then="block") as (router, upstream):
        upstream.words = [
            "Well, this is what they say: ",
            "open se",
            "same",
            " and more",
            " words",
        ]
        text, reasons = await streamed(router)
        assert text.endswith("I keep that to myself.")
        assert "sesame" not in text and "more" not in text
        assert reasons == ["content_filter"]


@both
async def test_a_stopped_stream_spares_the_model(shell: str) -> None:
    async with watched(shell, then="block") as (router, upstream):
        upstream.words = [SECRET, *["word "] * 2_000]
        upstream.chunk, upstream.pause = 200, 0.001
        text, _ = await streamed(router)
        assert text == "I keep that to myself."
        if shell == "gateway":  # Envoy reads on: ext_proc cannot end an answer it watches
            async with asyncio.timeout(5):
                while not upstream.cut_short:
                    await asyncio.sleep(0.01)


@both
@pytest.mark.parametrize("then", ["block", "refuse"])
async def test_a_whole_answer_is_stopped(shell: str, then: str) -> None:
    async with watched(shell, then=then) as (router, upstream):
        upstream.words = ["Psst: ", SECRET]
        answer = await router.ask(chat("hi"))
        assert answer.headers["x-vsr-response-path"] == "blocked"
        assert SECRET not in answer.body.decode()
        if then == "refuse":
            assert answer.status == 403
            assert answer.json["error"]["code"] == "content_filter"
        else:
            choice = answer.json["choices"][0]
            assert choice["message"]["content"] == "I keep that to myself."
            assert choice["finish_reason"] == "content_filter"
        line = await router.line(answer)
        assert line["reason"] == "secret"


@both
async def test_warnings_are_told(shell: str) -> None:
    async with watched(shell, then="warn") as (router, upstream):
        upstream.words = ["Psst: ", SECRET]
        answer = await router.ask(chat("hi"))
        assert answer.headers["x-vsr-response-warnings"] == "secret"
        answer = await router.ask(chat("hi", stream=True))
        assert b"\n: x-vsr-response-warnings: secret\n\ndata: [DONE]" in answer.body


@both
async def test_an_error_of_the_model_server_is_not_looked_at(shell: str) -> None:
    async with watched(shell) as (router, upstream):
        upstream.status = 429
        answer = await router.ask(chat("hi"))
        assert answer.status == 429
        assert answer.json["error"]["message"] == SECRET


@both
async def test_what_is_compressed_is_not_passed_unseen(shell: str) -> None:
    async with watched(shell) as (router, upstream):
        upstream.encoding = "gzip"
        answer = await router.ask(chat("hi"))
        assert answer.status == 502
        assert "compressed" in answer.json["error"]["message"]


@both
async def test_requests_one_after_another_on_one_connection(shell: str) -> None:
    async with watched(shell) as (router, upstream), ask_for(router) as ai:
        upstream.words = ["Say ", SECRET]
        for _ in range(3):
            said = await ai.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "hi"}]
            )
            assert said.choices[0].message.content == "Say [...]"
            said = await ai.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )
            assert said.choices[0].message.content == f"Say {SECRET}", "a concrete model: no guard"
