"""The official ``openai`` SDK against the router: what its users do, and what they get when
something goes wrong. Sources: the SDK's README, and gateways spec 4.1, 4.2."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import openai
import pytest
from aiohttp import web
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from tests.running import SHELLS, Running, running

from wayside.sim import SimModel, SimServer, serve_sim

both = pytest.mark.parametrize("shell", SHELLS)
HELLO: Any = [{"role": "user", "content": "hello"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
RESPONSES_TOOL: Any = {"type": "function", **TOOL["function"]}


class Answer(BaseModel):
    """What structured outputs are parsed into."""

    city: str
    degrees: int
    sunny: bool


@contextlib.asynccontextmanager
async def simulated(shell: str = "gateway", **settings: Any) -> AsyncIterator[Running]:
    """A router in front of two simulated models; ``auto`` chooses between them."""
    servers = [SimServer((SimModel(name, itl_s=0.001),)) for name in ("small", "big")]
    async with serve_sim(servers) as sims:
        document = {
            "models": {s.settings.models[0].name: {"endpoints": [s.url]} for s in sims},
            "routing": {
                "default_model": "small",
                "signals": {"keyword": {"hard": {"keywords": ["hard"]}}},
                "decisions": [{"name": "hard", "when": "keyword:hard", "models": ["big"]}],
            },
            **settings,
        }
        async with running(shell, document) as router:
            yield router


def client(router: Running, **more: Any) -> AsyncOpenAI:
    more = {"max_retries": 0, "api_key": "k", **more}
    return AsyncOpenAI(base_url=f"{router.url}/v1", **more)


async def in_thread(router: Running, use: Callable[[OpenAI], Any]) -> Any:
    """What the synchronous client gets, beside our event loop."""

    def run() -> Any:
        with OpenAI(base_url=f"{router.url}/v1", api_key="k", max_retries=0) as ai:
            return use(ai)

    return await asyncio.to_thread(run)


# chat


@both
async def test_chat(shell: str) -> None:
    async with simulated(shell) as router, client(router) as ai:
        said = await ai.chat.completions.create(model="auto", messages=HELLO)
        assert said.model == "small" and said.choices[0].finish_reason == "stop"
        assert said.usage is not None and said.usage.completion_tokens > 0
        assert said._request_id, "the SDK reads x-request-id"
        raw = await ai.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": "a hard question"}]
        )
        assert raw.headers["x-vsr-selected-model"] == "big"
        assert raw.headers["x-vsr-selected-decision"] == "hard"


@both
async def test_chat_streamed(shell: str) -> None:
    async with simulated(shell) as router, client(router) as ai:
        whole = await ai.chat.completions.create(model="auto", messages=HELLO)
        stream = await ai.chat.completions.create(
            model="auto", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage == whole.usage


async def test_chat_without_an_event_loop() -> None:
    def use(ai: OpenAI) -> tuple[str | None, str]:
        whole = ai.chat.completions.create(model="auto", messages=HELLO)
        pieces = ai.chat.completions.create(model="auto", messages=HELLO, stream=True)
        text = "".join(c.delta.content or "" for p in pieces for c in p.choices)
        return whole.choices[0].message.content, text

    async with simulated() as router:
        whole, streamed = await in_thread(router, use)
        assert whole == streamed and whole


async def test_the_helper_that_puts_a_stream_together() -> None:
    async with simulated() as router, client(router) as ai:
        async with ai.chat.completions.stream(model="auto", messages=HELLO) as stream:
            kinds = {event.type async for event in stream}
            final = await stream.get_final_completion()
        assert {"chunk", "content.delta", "content.done"} <= kinds
        assert final.choices[0].message.content


async def test_tools() -> None:
    async with simulated() as router, client(router) as ai:
        asked = dict(model="auto", messages=HELLO, tools=[TOOL], tool_choice="required")
        whole = await ai.chat.completions.create(**asked)
        (call,) = whole.choices[0].message.tool_calls or []
        assert (call.function.name, whole.choices[0].finish_reason) == ("look_up", "tool_calls")
        assert "city" in json.loads(call.function.arguments)
        arguments = ""
        async for chunk in await ai.chat.completions.create(stream=True, **asked):
            for choice in chunk.choices:
                for piece in choice.delta.tool_calls or []:
                    arguments += piece.function.arguments or ""
        assert json.loads(arguments) == json.loads(call.function.arguments)


async def test_structured_outputs_are_parsed() -> None:
    async with simulated() as router, client(router) as ai:
        said = await ai.chat.completions.parse(
            model="auto", messages=HELLO, response_format=Answer
        )
        assert isinstance(said.choices[0].message.parsed, Answer)


# completions, embeddings, models


async def test_completions_of_the_older_api() -> None:
    async with simulated() as router, client(router) as ai:
        whole = await ai.completions.create(model="auto", prompt="Once", max_tokens=9)
        stream = await ai.completions.create(
            model="auto", prompt="Once", max_tokens=9, stream=True
        )
        text = "".join([choice.text async for chunk in stream for choice in chunk.choices])
        assert text == whole.choices[0].text and whole.choices[0].finish_reason == "length"


async def test_embeddings_come_as_numbers_or_as_base64() -> None:
    async with simulated() as router, client(router) as ai:
        said = await ai.embeddings.create(model="small", input=["one", "two"])
        assert [item.index for item in said.data] == [0, 1]
        raw = await ai.embeddings.create(model="small", input="one", encoding_format="base64")
        packed: Any = raw.data[0].embedding
        numbers = struct.unpack(f"<{len(said.data[0].embedding)}f", base64.b64decode(packed))
        assert list(numbers) == pytest.approx(said.data[0].embedding, abs=1e-6)
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.embeddings.create(model="auto", input="one")
        assert caught.value.param == "model"


@both
async def test_models(shell: str) -> None:
    async with simulated(shell) as router, client(router) as ai:
        names = [model.id async for model in ai.models.list()]
        assert {"auto", "small", "big"} <= set(names)
        assert (await ai.models.retrieve("small")).id == "small"
        with pytest.raises(openai.NotFoundError) as caught:
            await ai.models.retrieve("org/none")
        assert caught.value.code == "model_not_found"


# responses


@both
async def test_responses(shell: str) -> None:
    async with simulated(shell) as router, client(router) as ai:
        said = await ai.responses.create(model="auto", input="hello", metadata={"a": "b"})
        assert said.status == "completed" and said.output_text and said.model == "small"
        assert said.metadata == {"a": "b"}
        assert said.usage is not None and said.usage.total_tokens > 0
        assert (await ai.responses.retrieve(said.id)).output_text == said.output_text
        items = [item async for item in await ai.responses.input_items.list(said.id)]
        assert [item.content[0].text for item in items] == ["hello"]
        again = await ai.responses.create(
            model="auto", input="and now?", previous_response_id=said.id
        )
        assert again.usage is not None and said.usage is not None
        assert again.usage.input_tokens > said.usage.input_tokens + said.usage.output_tokens
        assert await ai.responses.delete(said.id) is None
        with pytest.raises(openai.NotFoundError):
            await ai.responses.retrieve(said.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.responses.create(model="auto", input="x", previous_response_id=again.id)
        assert caught.value.code == "previous_response_not_found"


@both
async def test_responses_streamed(shell: str) -> None:
    async with simulated(shell) as router, client(router) as ai:
        async with ai.responses.stream(model="auto", input="hello") as stream:
            text = "".join(
                [e.delta async for e in stream if e.type == "response.output_text.delta"]
            )
            final = await stream.get_final_response()
        assert text == final.output_text and final.status == "completed"
        assert (await ai.responses.retrieve(final.id)).output_text == text


async def test_responses_without_an_event_loop() -> None:
    def use(ai: OpenAI) -> tuple[str, str]:
        whole = ai.responses.create(model="auto", input="hello")
        with ai.responses.stream(
            model="auto", input="go on", previous_response_id=whole.id
        ) as stream:
            for _ in stream:
                pass
            return whole.id, stream.get_final_response().previous_response_id or ""

    async with simulated() as router:
        first, previous = await in_thread(router, use)
        assert first == previous


async def test_responses_with_tools() -> None:
    async with simulated() as router, client(router) as ai:
        asked: Any = dict(model="auto", tools=[RESPONSES_TOOL])
        first = await ai.responses.create(input="hello", tool_choice="required", **asked)
        (call,) = first.output
        assert call.type == "function_call" and "city" in json.loads(call.arguments)
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        second = await ai.responses.create(
            input=[result], previous_response_id=first.id, tool_choice="none", **asked
        )
        assert second.output_text
        by_hand = await ai.responses.create(
            input=[{"role": "user", "content": "hello"}, call.to_dict(), result], **asked
        )
        assert by_hand.output_text
        async with ai.responses.stream(input="hello", tool_choice="required", **asked) as stream:
            events = [event async for event in stream]
        done = [e for e in events if e.type == "response.function_call_arguments.done"]
        assert [e.arguments for e in done] == [call.arguments]


async def test_responses_are_parsed_into_structures() -> None:
    async with simulated() as router, client(router) as ai:
        said = await ai.responses.parse(model="auto", input="hello", text_format=Answer)
        assert isinstance(said.output_parsed, Answer)


async def test_a_response_that_was_cut_short_says_so() -> None:
    async with simulated() as router, client(router) as ai:
        said = await ai.responses.create(model="auto", input="hello", max_output_tokens=3)
        assert said.status == "incomplete" and said.incomplete_details is not None
        assert said.incomplete_details.reason == "max_output_tokens"


@both
async def test_responses_of_a_model_that_speaks_anthropics_api(shell: str) -> None:
    async with serve_sim([SimServer((SimModel("c"),))]) as (sim,):
        model = {"endpoints": [sim.url], "protocol": "anthropic"}
        document = {"models": {"c": model}, "routing": {"default_model": "c"}}
        async with running(shell, document) as router, client(router) as ai:
            raw = await ai.responses.with_raw_response.create(
                model="auto", input="hello", truncation="auto"
            )
            assert raw.headers["x-vsr-upstream-protocol"] == "anthropic"
            assert "not_truncated" in raw.headers["x-vsr-protocol-warnings"]
            first = raw.parse()
            assert first.output_text
            async with ai.responses.stream(
                model="auto",
                input="hello",
                tools=[RESPONSES_TOOL],
                tool_choice="required",
                previous_response_id=first.id,
            ) as stream:
                final = await stream.get_final_response()
            (call,) = final.output
            assert call.type == "function_call" and "city" in json.loads(call.arguments)
            assert final.usage is not None and final.usage.output_tokens > 0
        assert {request.path for request in sim.requests} == {"/v1/messages"}


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "mcp"])
async def test_tools_that_run_at_openai_are_refused_by_name(kind: str) -> None:
    async with simulated() as router, client(router) as ai:
        tools: Any = [{"type": kind}]
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.responses.create(model="auto", input="hello", tools=tools)
        assert (caught.value.param, caught.value.code) == (
            "tools[0].type",
            "unsupported_parameter",
        )


# errors


class Script:
    """A model server that answers as it is told, and remembers who asked how often."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.tries: list[str] = []
        self.stream: tuple[bytes, ...] = ()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.tries.append(request.headers.get("x-stainless-retry-count", ""))
        await request.read()
        if self.stream:
            response = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await response.prepare(request)
            for piece in self.stream:
                await response.write(piece)
                await asyncio.sleep(0.02)
            return response
        if self.answers:
            return self.answers.pop(0)
        turn = {"role": "assistant", "content": "fine"}
        choice = {"index": 0, "message": turn, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "model": "m", "choices": [choice]})


def failing(status: int, **headers: str) -> web.Response:
    """An error of a model's server, as OpenAI writes it."""
    error = {"message": "no", "type": "some_error", "param": "p", "code": "some_code"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": error}, status=status, headers=named)


@contextlib.asynccontextmanager
async def scripted(
    shell: str = "gateway", **settings: Any
) -> AsyncIterator[tuple[Running, Script]]:
    script = Script()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", script.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    document = {
        "models": {"m": {"endpoints": [url], "retries": {"attempts": 1}}},
        "routing": {"default_model": "m"},
        **settings,
    }
    try:
        async with running(shell, document) as router:
            yield router, script
    finally:
        await runner.cleanup()


class Ask(NamedTuple):
    """One call of the SDK, by the API it uses."""

    name: str
    do: Callable[[AsyncOpenAI], Any]


ASKS = [
    Ask("chat", lambda ai: ai.chat.completions.create(model="m", messages=HELLO)),
    Ask("responses", lambda ai: ai.responses.create(model="m", input="hello")),
]
each = pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
CLASSES = [
    (400, openai.BadRequestError),
    (401, openai.AuthenticationError),
    (403, openai.PermissionDeniedError),
    (404, openai.NotFoundError),
    (409, openai.ConflictError),
    (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
    (503, openai.InternalServerError),
]


@each
@both
async def test_a_servers_error_is_the_class_it_should_be(shell: str, ask: Ask) -> None:
    async with scripted(shell) as (router, script), client(router) as ai:
        for status, kind in CLASSES:
            script.answers = [failing(status) for _ in range(5)]
            with pytest.raises(kind) as caught:
                await ask.do(ai)
            assert caught.value.status_code == status
            assert (caught.value.code, caught.value.param) == ("some_code", "p")


REFUSALS: list[tuple[int, type[openai.APIStatusError], str | None, Callable[..., Any]]] = [
    (
        400,
        openai.BadRequestError,
        None,
        lambda ai: ai.chat.completions.create(model="auto", messages="hi"),
    ),
    (
        400,
        openai.BadRequestError,
        "invalid_json",
        lambda ai: ai.post("/chat/completions", cast_to=object, content=b'{"model":'),
    ),
    (
        404,
        openai.NotFoundError,
        "model_not_found",
        lambda ai: ai.chat.completions.create(model="none", messages=HELLO),
    ),
    (404, openai.NotFoundError, "unknown_url", lambda ai: ai.get("/nothing", cast_to=object)),
    (
        405,
        openai.APIStatusError,
        "method_not_allowed",
        lambda ai: ai.get("/chat/completions", cast_to=object),
    ),
    (
        415,
        openai.APIStatusError,
        "unsupported_media_type",
        lambda ai: ai.chat.completions.create(
            model="auto", messages=HELLO, extra_headers={"content-encoding": "br"}
        ),
    ),
]


@both
async def test_the_routers_own_errors_are_objects_with_codes(shell: str) -> None:
    async with scripted(shell) as (router, script), client(router) as ai:
        for status, kind, code, do in REFUSALS:
            with pytest.raises(kind) as caught:
                await do(ai)
            assert (caught.value.status_code, caught.value.code) == (status, code)
            assert isinstance(caught.value.body, dict)
            assert {"message", "type", "param", "code"} <= set(caught.value.body)
        assert not script.tries


@each
async def test_a_body_over_the_limit_is_413(ask: Ask) -> None:
    async with scripted(limits={"max_body_bytes": 20}) as (router, _), client(router) as ai:
        with pytest.raises(openai.APIStatusError) as caught:
            await ask.do(ai)
        assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


@each
async def test_a_server_that_cannot_be_reached_is_502(ask: Ask) -> None:
    settings = {"models": {"m": {"endpoints": ["http://127.0.0.1:9"]}}}
    async with scripted(**settings) as (router, _), client(router) as ai:
        with pytest.raises(openai.InternalServerError) as caught:
            await ask.do(ai)
        assert caught.value.status_code == 502
        assert isinstance(caught.value.code, str)


@each
async def test_a_server_that_is_too_slow_is_504(ask: Ask) -> None:
    async with slow(0.2) as router, client(router) as ai:
        with pytest.raises(openai.InternalServerError) as caught:
            await ask.do(ai)
        assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


@contextlib.asynccontextmanager
async def slow(patience_s: float) -> AsyncIterator[Running]:
    """A router that waits for its only model ``patience_s``; the model takes far longer."""
    async with serve_sim([SimServer((SimModel("m", ttft_s=30.0),))]) as (sim,):
        model = {"endpoints": [sim.url], "timeouts": {"first_byte_s": patience_s}}
        document = {"models": {"m": model}, "routing": {"default_model": "m"}}
        async with running("gateway", document) as router:
            yield router


# retries


@each
@both
async def test_the_client_tries_again_after_as_long_as_it_is_told(shell: str, ask: Ask) -> None:
    async with scripted(shell) as (router, script), client(router, max_retries=2) as ai:
        for headers in ({"retry_after_ms": "1"}, {"retry_after": "0.01"}):
            script.tries.clear()
            script.answers = [failing(429, **headers), failing(503, **headers)]
            await ask.do(ai)
            assert script.tries == ["0", "1", "2"]


@both
async def test_the_client_gives_up_after_its_retries(shell: str) -> None:
    async with scripted(shell) as (router, script), client(router, max_retries=1) as ai:
        script.answers = [failing(503, retry_after_ms="1") for _ in range(5)]
        with pytest.raises(openai.InternalServerError):
            await ai.chat.completions.create(model="m", messages=HELLO)
        assert script.tries == ["0", "1"]


@both
async def test_a_client_that_is_told_not_to_try_again_does_not(shell: str) -> None:
    async with scripted(shell) as (router, script), client(router, max_retries=2) as ai:
        script.answers = [failing(429, x_should_retry="false") for _ in range(20)]
        with pytest.raises(openai.RateLimitError):
            await ai.chat.completions.create(model="m", messages=HELLO)
        assert set(script.tries) == {"0"}


@both
async def test_what_is_wrong_with_a_request_is_not_tried_again(shell: str) -> None:
    async with scripted(shell) as (router, script), client(router, max_retries=2) as ai:
        for status in (400, 401, 403, 404, 422):
            script.tries.clear()
            script.answers = [failing(status) for _ in range(20)]
            with pytest.raises(openai.APIStatusError):
                await ai.chat.completions.create(model="m", messages=HELLO)
            assert len(script.tries) == 1


# what goes wrong late


@each
async def test_a_client_that_waits_no_longer_raises(ask: Ask) -> None:
    async with slow(60.0) as router, client(router, timeout=0.2) as ai:
        with pytest.raises(openai.APITimeoutError):
            await ask.do(ai)


def event(said: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(said).encode() + b"\n\n"


CHUNK = event(
    {
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
    }
)
LATE = {
    "an error": event({"error": {"message": "no memory", "type": "server_error", "code": "oom"}}),
    "an end without a reason": b"data: [DONE]\n\n",
    "no end": b"",
    "a broken event": b"data: {oops\n\ndata: [DONE]\n\n",
}


@pytest.mark.parametrize("how", LATE)
@both
async def test_a_response_that_goes_wrong_late_raises(shell: str, how: str) -> None:
    async with scripted(shell) as (router, script), client(router) as ai:
        script.stream = (CHUNK, LATE[how])
        ended = False
        with pytest.raises(openai.APIError):
            async for event in await ai.responses.create(model="m", input="hello", stream=True):
                ended = ended or event.type == "response.completed"
        assert not ended


@pytest.mark.parametrize("fault", ["reset-after=3", "close-after=3"])
@each
@both
async def test_a_stream_that_breaks_off_raises(shell: str, ask: Ask, fault: str) -> None:
    asked: Any = {"model": "auto", "stream": True, "extra_headers": {"x-sim-fault": fault}}
    async with simulated(shell) as router, client(router) as ai:
        with pytest.raises(openai.APIError):
            if ask.name == "chat":
                async for _ in await ai.chat.completions.create(messages=HELLO, **asked):
                    pass
            else:
                async for _ in await ai.responses.create(input="hello", **asked):
                    pass
