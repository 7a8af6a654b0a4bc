"""Servers of OpenAI's Responses API behind three clients: OpenAI's as a chat and as responses,
and Anthropic's; whole and streamed, with tools, and with errors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from tests.running import SHELLS, Running, running

from wayside.sim import Sim, SimModel, SimServer, serve_sim

KEY = "sk-provider"
ANSWER = "Seven times eight is fifty-six, as everyone who has learnt it by heart knows."
QUESTION: Any = [{"role": "user", "content": "What is seven times eight?"}]
COUNTED = -(-len(ANSWER) // 4)
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
SERVER = SimServer(models=(SimModel("big", answer=ANSWER),), api_keys=(KEY,))


@contextlib.asynccontextmanager
async def routed(
    shell: str = "gateway", more: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Running, Sim]]:
    async with serve_sim([SERVER]) as (sim,):
        model = {
            "endpoints": [sim.url],
            "protocol": "responses",
            "credential": {"env": "KEY"},
            "retries": {"attempts": 1},
        }
        document = {
            "models": {"big": model, "other": {**model, "upstream_name": "big"}},
            "routing": {"default_model": "big"},
            **(more or {}),
        }
        async with running(shell, document, {"KEY": KEY}) as router:
            yield router, sim


def chatting(router: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=router.url + "/v1", api_key="mine", max_retries=0)


def messaging(router: Running) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=router.url, api_key="mine", max_retries=0)


def sent(sim: Sim) -> list[dict[str, Any]]:
    """The bodies that reached the server, all of them at the API's own path."""
    assert {request.path for request in sim.requests} <= {"/v1/responses"}
    return [json.loads(request.body) for request in sim.requests]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_a_chat_is_answered(shell: str) -> None:
    async with routed(shell) as (router, sim), chatting(router) as asking:
        raw = await asking.chat.completions.with_raw_response.create(
            model="auto",
            seed=7,
            max_completion_tokens=100,
            messages=[{"role": "system", "content": "Be brief."}, *QUESTION],
        )
        chat = raw.parse()
        (choice,) = chat.choices
        assert (choice.message.content, choice.finish_reason) == (ANSWER, "stop")
        assert chat.usage is not None
        assert chat.usage.completion_tokens == COUNTED
        assert chat.usage.total_tokens == chat.usage.prompt_tokens + COUNTED
        assert chat.created > 1_700_000_000
        assert raw.headers["x-vsr-client-protocol"] == "openai"
        assert raw.headers["x-vsr-upstream-protocol"] == "responses"
        assert raw.headers["x-vsr-protocol-warnings"] == "warning;unsupported;seed"
        (body,) = sent(sim)
        assert body["store"] is False
        assert body["max_output_tokens"] == 100
        assert [item["role"] for item in body["input"]] == ["system", "user"]
        assert sim.requests[0].header("authorization") == f"Bearer {KEY}"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.asyncio
async def test_a_chat_streams(shell: str, usage: bool) -> None:
    async with routed(shell) as (router, _), chatting(router) as asking:
        more: Any = {"stream_options": {"include_usage": True}} if usage else {}
        stream = await asking.chat.completions.create(
            model="big", stream=True, messages=QUESTION, **more
        )
        chunks = [chunk async for chunk in stream]
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == ANSWER
        assert len(said) > 5
        ends = [c.choices[0].finish_reason for c in chunks if c.choices]
        assert ends[-1] == "stop"
        assert not any(ends[:-1])
        assert (chunks[-1].usage is not None) is usage
        if chunks[-1].usage is not None:
            assert chunks[-1].usage.completion_tokens == COUNTED


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_a_chat_calls_a_tool_and_gives_its_result_back(streams: bool) -> None:
    turns: list[Any] = [*QUESTION]
    asked: Any = {"model": "big", "tools": [WEATHER]}
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    async with routed() as (router, sim), chatting(router) as asking:
        if streams:
            async with asking.chat.completions.stream(
                **asked, messages=turns, tool_choice=choice
            ) as stream:
                first: Any = await stream.get_final_completion()
        else:
            first = await asking.chat.completions.create(
                **asked, messages=turns, tool_choice=choice
            )
        assert first.choices[0].finish_reason == "tool_calls"
        (call,) = first.choices[0].message.tool_calls
        assert call.function.name == "weather"
        assert isinstance(json.loads(call.function.arguments)["city"], str)
        turns += [
            first.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"}),
            {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
        ]
        second = await asking.chat.completions.create(**asked, messages=turns)
        assert second.choices[0].message.content == ANSWER
        items = sent(sim)[-1]["input"]
        assert [item["type"] for item in items[1:]] == ["function_call", "function_call_output"]
        assert items[1]["call_id"] == items[2]["call_id"] == call.id


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_a_message_is_answered_and_calls_a_tool(streams: bool) -> None:
    tool: Any = {"name": "weather", "input_schema": SCHEMA}
    asked: Any = {"model": "big", "max_tokens": 100, "system": "Be brief.", "messages": QUESTION}
    async with routed() as (router, sim), messaging(router) as asking:

        async def message(**more: Any) -> Any:
            if not streams:
                return await asking.messages.create(**asked, **more)
            async with asking.messages.stream(**asked, **more) as stream:
                return await stream.get_final_message()

        said = await message()
        assert [block.text for block in said.content] == [ANSWER]
        assert said.stop_reason == "end_turn"
        assert said.usage.output_tokens == COUNTED
        called = await message(tools=[tool], tool_choice={"type": "tool", "name": "weather"})
        (block,) = called.content
        assert (block.type, block.name, called.stop_reason) == ("tool_use", "weather", "tool_use")
        assert isinstance(block.input["city"], str)
        assert [item["role"] for item in sent(sim)[0]["input"]] == ["system", "user"]
        assert all(r.header("anthropic-version") is None for r in sim.requests)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_a_conversation_of_responses_is_kept_here_and_sent_whole(
    shell: str, streams: bool
) -> None:
    async with routed(shell) as (router, sim), chatting(router) as asking:

        async def respond(**more: Any) -> Any:
            if not streams:
                return await asking.responses.create(model="auto", **more)
            async with asking.responses.stream(model="auto", **more) as stream:
                return await stream.get_final_response()

        first = await respond(input="What is seven times eight?", truncation="auto")
        assert first.output_text == ANSWER
        assert (await asking.responses.retrieve(first.id)).output_text == ANSWER
        second = await respond(input="And nine?", previous_response_id=first.id)
        assert second.output_text == ANSWER
        assert second.previous_response_id == first.id
        assert second.usage.output_tokens == COUNTED
        one, two = sent(sim)
        # In the client's own words, but kept nowhere else.
        assert (one["input"], one["truncation"]) == ("What is seven times eight?", "auto")
        assert one["store"] is two["store"] is False
        assert "previous_response_id" not in two
        assert [item["role"] for item in two["input"]] == ["user", "assistant", "user"]
        assert not any("id" in item for item in two["input"])


@pytest.mark.asyncio
async def test_what_nobody_keeps_goes_through_byte_for_byte() -> None:
    raw = b'{"input":  "Hi",   "model":"big", "store":false}'
    async with routed() as (router, sim), chatting(router) as asking:
        answer = await router.ask(raw, {}, "/v1/responses")
        assert answer.status == 200
        said = json.loads(answer.body)
        assert sim.requests[0].body == raw
        assert len(said["id"]) == len("resp_") + 48  # the server's own
        line = await router.line(answer)
        assert line["completion_tokens"] == COUNTED
        named = await asking.responses.create(model="other", input="Hi", store=False)
        assert named.model == "big"
        assert sent(sim)[-1]["model"] == "big"


@pytest.mark.asyncio
async def test_nothing_is_kept_there_where_nothing_is_kept_here() -> None:
    async with (
        routed(more={"responses": {"enabled": False}}) as (router, sim),
        chatting(router) as asking,
    ):
        said = await asking.responses.create(model="big", input="Hi")
        assert said.output_text == ANSWER
        assert sent(sim)[0]["store"] is False


ERRORS: list[tuple[int, str]] = [
    (400, "BadRequestError"),
    (401, "AuthenticationError"),
    (404, "NotFoundError"),
    (429, "RateLimitError"),
    (500, "InternalServerError"),
]


@pytest.mark.parametrize(("status", "raised"), ERRORS)
@pytest.mark.asyncio
async def test_errors_raise_what_they_should(status: int, raised: str) -> None:
    fault = {"x-sim-fault": f"status={status};retry-after=0.1"}
    said = "Unauthorized" if status == 401 else f"Simulated fault: {status}"
    async with routed() as (router, _), chatting(router) as asking, messaging(router) as other:
        with pytest.raises(getattr(openai, raised), match=said) as caught:
            await asking.chat.completions.create(
                model="big", messages=QUESTION, extra_headers=fault
            )
        assert set(caught.value.body) == {"message", "type", "param", "code"}
        with pytest.raises(getattr(openai, raised), match=said):
            await asking.responses.create(model="big", input="Hi", extra_headers=fault)
        with pytest.raises(getattr(anthropic, raised), match=said):
            await other.messages.create(
                model="big", max_tokens=5, messages=QUESTION, extra_headers=fault
            )


@pytest.mark.parametrize("fault", ["reset-after=6", "close-after=6"])
@pytest.mark.asyncio
async def test_a_stream_that_breaks_is_no_whole_answer(fault: str) -> None:
    headers = {"x-sim-fault": fault}
    async with routed() as (router, _), chatting(router) as asking:
        stream = await asking.chat.completions.create(
            model="big", stream=True, messages=QUESTION, extra_headers=headers
        )
        text = ""
        with pytest.raises(openai.APIError):
            async for chunk in stream:
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        assert ANSWER.startswith(text)
        assert text != ANSWER


@pytest.mark.asyncio
async def test_what_has_no_counterpart_is_refused() -> None:
    async with routed() as (router, sim), chatting(router) as asking:
        with pytest.raises(openai.BadRequestError, match="more than one answer"):
            await asking.chat.completions.create(model="big", messages=QUESTION, n=2)
        with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
            await asking.embeddings.create(model="big", input="hi")
        with pytest.raises(openai.BadRequestError, match="runs at OpenAI"):
            await asking.responses.create(
                model="big", input="hi", store=False, tools=[{"type": "web_search"}]
            )
        assert not sim.requests


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
@pytest.mark.asyncio
async def test_tokens_are_counted_once(path: str, streams: bool) -> None:
    async with routed() as (router, sim):
        body: Any = {"model": "big", "max_tokens": 50, "messages": QUESTION, "stream": streams}
        if path == "/v1/responses":
            body = {"model": "big", "input": QUESTION, "stream": streams}
        answer = await router.ask(body, {"anthropic-version": "2023-06-01"}, path)
        assert answer.status == 200
        line = await router.line(answer)
        assert line["completion_tokens"] == COUNTED
        assert line["prompt_tokens"] == -(-len(QUESTION[0]["content"]) // 4)
        assert len(sent(sim)) == 1


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("api", ["chat", "message", "response"])
@pytest.mark.asyncio
async def test_plugins_change_what_is_sent_and_read_what_is_said(api: str, streams: bool) -> None:
    """A system prompt is put into the request, and the answer is kept for everybody."""
    routing = {
        "default_model": "big",
        "decisions": [
            {
                "name": "all",
                "models": ["big"],
                "plugins": {
                    "response_cache": {"anonymous": "shared"},
                    "system_prompt": {"prompt": "You are kind."},
                },
            }
        ],
    }
    async with routed(more={"routing": routing}) as (router, sim), chatting(router) as asking:
        for _ in range(2):
            if api == "message":
                async with messaging(router) as other:
                    asked: Any = {"model": "auto", "max_tokens": 99, "messages": QUESTION}
                    if streams:
                        async with other.messages.stream(**asked) as stream:
                            said: Any = (await stream.get_final_message()).content[0].text
                    else:
                        said = (await other.messages.create(**asked)).content[0].text
            elif api == "chat":
                if streams:
                    async with asking.chat.completions.stream(
                        model="auto", messages=QUESTION
                    ) as chunks:
                        completion: Any = await chunks.get_final_completion()
                else:
                    completion = await asking.chat.completions.create(
                        model="auto", messages=QUESTION
                    )
                said = completion.choices[0].message.content
            elif streams:
                async with asking.responses.stream(model="auto", input=QUESTION) as events:
                    said = (await events.get_final_response()).output_text
            else:
                said = (await asking.responses.create(model="auto", input=QUESTION)).output_text
            assert said == ANSWER
        (body,) = sent(sim)  # the second answer was kept
        assert body["store"] is False
        assert [item["role"] for item in body["input"]] == ["system", "user"]
        assert body["input"][0]["content"] == "You are kind."


@contextlib.asynccontextmanager
async def scripted(
    said: bytes, kind: str, routing: dict[str, Any] | None = None
) -> AsyncIterator[Running]:
    """The router in front of a server that always says the same."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(found[1]) if found else 0)
        length = len(said)
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n"
            "connection: close\r\n\r\n".encode()
            + said
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        model = {"endpoints": [f"http://127.0.0.1:{port}"], "protocol": "responses"}
        document = {"models": {"big": model}, "routing": routing or {"default_model": "big"}}
        async with running("gateway", document) as router:
            yield router


FAILED: dict[str, Any] = {
    "id": "resp_1",
    "status": "failed",
    "error": {"code": "rate_limit_exceeded", "message": "Slow down."},
    "output": [],
    "usage": None,
}


@pytest.mark.asyncio
async def test_a_response_that_failed_is_an_error_for_every_client() -> None:
    """Over HTTP it is a success."""
    async with (
        scripted(json.dumps(FAILED).encode(), "application/json") as router,
        chatting(router) as asking,
        messaging(router) as other,
    ):
        with pytest.raises(openai.RateLimitError, match=r"Slow down\."):
            await asking.chat.completions.create(model="big", messages=QUESTION)
        with pytest.raises(openai.RateLimitError, match=r"Slow down\."):
            await asking.responses.create(model="big", input="Hi")
        with pytest.raises(anthropic.RateLimitError, match=r"Slow down\."):
            await other.messages.create(model="big", max_tokens=5, messages=QUESTION)


@pytest.mark.asyncio
async def test_a_stream_that_failed_is_an_error_for_every_client() -> None:
    begun = {"type": "response.created", "response": {**FAILED, "status": "in_progress"}}
    events = [
        begun,
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Seven"},
        {"type": "response.failed", "response": FAILED},
    ]
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    async with (
        scripted(raw, "text/event-stream") as router,
        chatting(router) as asking,
        messaging(router) as other,
    ):
        stream = await asking.chat.completions.create(model="big", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError, match=r"Slow down\."):
            async for _ in stream:
                pass
        with pytest.raises(openai.APIError, match=r"Slow down\."):
            async for _ in await asking.responses.create(model="big", input="Hi", stream=True):
                pass
        with pytest.raises(anthropic.APIError, match=r"Slow down\."):
            async with other.messages.stream(
                model="big", max_tokens=5, messages=QUESTION
            ) as message:
                await message.get_final_message()


@pytest.mark.asyncio
async def test_what_is_no_response_is_not_passed_on() -> None:
    async with (
        scripted(b'{"object": "list"}', "application/json") as router,
        chatting(router) as asking,
    ):
        with pytest.raises(openai.InternalServerError, match="what its server's API says"):
            await asking.chat.completions.create(model="big", messages=QUESTION)


@pytest.mark.asyncio
async def test_what_a_client_loses_on_the_way_is_told() -> None:
    async with routed() as (router, sim), chatting(router) as asking:
        raw = await asking.responses.with_raw_response.create(
            model="big", input="Hi", truncation="auto", include=["reasoning.encrypted_content"]
        )
        assert raw.headers["x-vsr-protocol-warnings"] == "info;not_encrypted;include[0]"
        assert sent(sim)[0]["truncation"] == "auto"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_answers_that_pass_unkept_are_watched_all_the_same(streams: bool) -> None:
    """``store: false`` lets bytes pass; a guard of answers has them told as a chat's first."""
    leak = "Write to ann@example.com today."
    response = {
        **FAILED,
        "status": "completed",
        "error": None,
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "content": [{"type": "output_text", "text": leak, "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 3, "output_tokens": 7, "total_tokens": 10},
    }
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**response, "output": []}},
        *[{"type": "response.output_text.delta", **at, "delta": piece} for piece in leak],
        {"type": "response.completed", "response": response},
    ]
    raw, kind = json.dumps(response).encode(), "application/json"
    if streams:
        raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        kind = "text/event-stream"
    routing = {
        "default_model": "big",
        "decisions": [
            {
                "name": "all",
                "models": ["big"],
                "plugins": {"response_pii": {"types": ["EMAIL_ADDRESS"]}},
            }
        ],
    }
    async with scripted(raw, kind, routing) as router:
        body = {"model": "auto", "input": "Hi", "store": False, "stream": streams}
        answer = await router.ask(body, {}, "/v1/responses")
        assert answer.status == 200
        assert b"ann@example.com" not in answer.body
        assert b"[EMAIL_ADDRESS]" in answer.body
        line = await router.line(answer)
        assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 7)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_a_response_calls_a_tool_and_goes_on_from_it(streams: bool) -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    choice: Any = {"type": "function", "name": "weather"}
    async with routed() as (router, sim), chatting(router) as asking:

        async def respond(**more: Any) -> Any:
            if not streams:
                return await asking.responses.create(model="auto", tools=tools, **more)
            async with asking.responses.stream(model="auto", tools=tools, **more) as stream:
                return await stream.get_final_response()

        first = await respond(input="Weather?", tool_choice=choice)
        (call,) = first.output
        assert (call.type, call.name, call.status) == ("function_call", "weather", "completed")
        assert isinstance(json.loads(call.arguments)["city"], str)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
        second = await respond(input=[result], previous_response_id=first.id)
        assert second.output_text == ANSWER
        items = sent(sim)[-1]["input"]
        assert [item.get("type", "message") for item in items] == [
            "message",
            "function_call",
            "function_call_output",
        ]
        assert items[1]["call_id"] == items[2]["call_id"] == call.call_id
        assert sent(sim)[0]["tools"] == tools
