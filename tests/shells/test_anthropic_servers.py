"""Servers of Anthropic's API behind OpenAI's own client, and what of it is counted; and what else
Anthropic's client asks: tokens counted, models listed, streams that break."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from openai import AsyncOpenAI
from tests.running import SHELLS, Running, running
from tests.shells.test_anthropic import (
    ANSWER,
    KEY,
    PROTOCOLS,
    QUESTION,
    Protocol,
    client,
    routed,
    sent,
)

from wayside.sim import SimModel, SimServer, serve_sim

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def openai_client(router: Running) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=router.url + "/v1", api_key="mine", max_retries=0)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_a_chat_is_answered(shell: str) -> None:
    async with routed(shell, "anthropic") as (router, sim), openai_client(router) as asking:
        raw = await asking.chat.completions.with_raw_response.create(
            model="auto",
            temperature=1.5,
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is seven times eight?"},
            ],
        )
        chat = raw.parse()
        assert chat.object == "chat.completion"
        assert chat.created > 1_700_000_000
        (choice,) = chat.choices
        assert (choice.message.content, choice.finish_reason) == (ANSWER, "stop")
        assert chat.usage is not None
        assert chat.usage.total_tokens == chat.usage.prompt_tokens + chat.usage.completion_tokens
        assert chat.usage.completion_tokens == -(-len(ANSWER) // 4)
        assert raw.headers["x-vsr-client-protocol"] == "openai"
        assert raw.headers["x-vsr-upstream-protocol"] == "anthropic"
        warned = raw.headers["x-vsr-protocol-warnings"].split(",")
        assert set(warned) == {"info;default_4096;max_tokens", "warning;at_most_1;temperature"}
        (recorded,) = sim.requests
        assert recorded.path == "/v1/messages"
        assert recorded.header("x-api-key") == KEY
        assert recorded.header("anthropic-version") == "2023-06-01"
        assert recorded.header("authorization") is None
        assert sent(sim)[0]["temperature"] == 1


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.asyncio
async def test_a_chat_streams(shell: str, usage: bool) -> None:
    async with routed(shell, "anthropic") as (router, _), openai_client(router) as asking:
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
            assert chunks[-1].usage.completion_tokens == -(-len(ANSWER) // 4)
            assert chunks[-1].usage.prompt_tokens > 5


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_a_tool_is_called_and_its_result_given_back(streams: bool) -> None:
    turns: list[Any] = [*QUESTION]
    asked: Any = {"model": "big", "tools": [WEATHER]}
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    async with routed("gateway", "anthropic") as (router, sim), openai_client(router) as asking:
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
        assert isinstance(json.loads(call.function.arguments)["city"], str)
        turns += [
            first.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"}),
            {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
            {"role": "user", "content": "And now?"},
        ]
        second = await asking.chat.completions.create(**asked, messages=turns)
        assert second.choices[0].finish_reason == "stop"
        said = sent(sim)[-1]["messages"]
        assert [turn["role"] for turn in said] == ["user", "assistant", "user"]
        assert [block["type"] for block in said[2]["content"]] == ["tool_result", "text"]
        assert said[2]["content"][0]["tool_use_id"] == call.id


@pytest.mark.asyncio
async def test_a_response_is_answered() -> None:
    """OpenAI's Responses API in front of Anthropic's: both translations, one after the other."""
    async with routed("gateway", "anthropic") as (router, sim), openai_client(router) as asking:
        said = await asking.responses.create(model="auto", input="What is seven times eight?")
        assert said.output_text == ANSWER
        async with asking.responses.stream(
            model="auto", input="And nine?", previous_response_id=said.id
        ) as stream:
            pieces = [e.delta async for e in stream if e.type == "response.output_text.delta"]
        assert "".join(pieces) == ANSWER
        assert [turn["role"] for turn in sent(sim)[-1]["messages"]] == [
            "user",
            "assistant",
            "user",
        ]


ERRORS: list[tuple[int, type[openai.APIStatusError], str]] = [
    (400, openai.BadRequestError, "invalid_request_error"),
    (401, openai.AuthenticationError, "invalid_request_error"),
    (403, openai.PermissionDeniedError, "permission_error"),
    (404, openai.NotFoundError, "invalid_request_error"),
    (429, openai.RateLimitError, "rate_limit_error"),
    (500, openai.InternalServerError, "server_error"),
    (529, openai.InternalServerError, "service_unavailable_error"),
]


@pytest.mark.parametrize(("status", "raised", "kind"), ERRORS)
@pytest.mark.asyncio
async def test_errors_raise_what_they_should(
    status: int, raised: type[openai.APIStatusError], kind: str
) -> None:
    fault = {"x-sim-fault": f"status={status};retry-after=3"}
    async with routed("gateway", "anthropic") as (router, _), openai_client(router) as asking:
        with pytest.raises(raised) as caught:
            await asking.chat.completions.create(
                model="big", messages=QUESTION, extra_headers=fault
            )
        assert caught.value.status_code == status
        body: Any = caught.value.body
        assert set(body) == {"message", "type", "param", "code"}
        assert body["type"] == kind
        assert f"Simulated fault: {status}" in body["message"]
        if status == 429:
            assert caught.value.response.headers["retry-after"] == "3"


@pytest.mark.asyncio
async def test_what_has_no_counterpart_is_refused() -> None:
    async with routed("gateway", "anthropic") as (router, sim), openai_client(router) as asking:
        with pytest.raises(openai.BadRequestError, match="more than one answer"):
            await asking.chat.completions.create(model="big", messages=QUESTION, n=2)
        with pytest.raises(openai.BadRequestError, match="/v1/embeddings"):
            await asking.embeddings.create(model="big", input="hi")
        assert not sim.requests


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
@pytest.mark.asyncio
async def test_tokens_are_counted_as_the_server_counts_them(
    protocol: Protocol, streams: bool, speaks: str
) -> None:
    """Accounting bug 7 of the gateways' (APISIX#13662): the total of a stream was its output
    alone, because the last event's counts took the place of the first one's."""
    async with routed("gateway", protocol) as (router, _):
        path = "/v1/messages" if speaks == "anthropic" else "/v1/chat/completions"
        body = {"model": "big", "max_tokens": 50, "messages": QUESTION, "stream": streams}
        if speaks == "openai":
            body["stream_options"] = {"include_usage": True} if streams else None
        answer = await router.ask(body, {"anthropic-version": "2023-06-01"}, path)
        assert answer.status == 200
        line = await router.line(answer)
        assert line["completion_tokens"] == -(-len(ANSWER) // 4)
        assert line["prompt_tokens"] == -(-len(QUESTION[0]["content"]) // 4)


@pytest.mark.asyncio
async def test_tokens_are_counted_where_the_server_counts() -> None:
    async with routed("gateway", "anthropic") as (router, sim), client(router) as asking:
        said = await asking.messages.count_tokens(model="small", messages=QUESTION)
        assert said.input_tokens == -(-len(QUESTION[0]["content"]) // 4)
        (recorded,) = sim.requests
        assert recorded.path == "/v1/messages/count_tokens"
        assert sent(sim)[0]["model"] == "little"
        auto = await asking.messages.count_tokens(model="auto", messages=QUESTION)
        assert 5 <= auto.input_tokens <= 15
        assert len(sim.requests) == 1


@pytest.mark.asyncio
async def test_tokens_are_estimated_where_the_server_does_not_count() -> None:
    async with routed("gateway", "openai") as (router, sim), client(router) as asking:
        tools: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
        raw = await asking.messages.with_raw_response.count_tokens(
            model="big", messages=QUESTION, tools=tools, system="Be brief."
        )
        with_tools = (await raw.parse()).input_tokens
        assert raw.headers["x-vsr-protocol-warnings"] == "info;estimated;input_tokens"
        bare = await asking.messages.count_tokens(model="big", messages=QUESTION)
        assert with_tools > bare.input_tokens > 5
        assert not sim.requests
        with pytest.raises(anthropic.NotFoundError):
            await asking.messages.count_tokens(model="nobody", messages=QUESTION)


@pytest.mark.asyncio
async def test_models_are_listed_page_by_page() -> None:
    async with routed("gateway", "openai") as (router, _), client(router) as asking:
        first = await asking.models.list(limit=2)
        assert [model.type for model in first.data] == ["model", "model"]
        assert first.has_more
        names = [model.id async for model in asking.models.list(limit=2)]
        assert names == ["auto", "MoM", "big", "small"]
        back = await asking.models.list(limit=2, before_id="small")
        assert [model.id for model in back.data] == ["MoM", "big"]
        one = await asking.models.retrieve("big")
        assert (one.id, one.display_name, one.lifecycle) == ("big", "big", "active")
        assert one.created_at.year > 2020
        with pytest.raises(anthropic.NotFoundError):
            await asking.models.retrieve("nobody")
        with pytest.raises(anthropic.BadRequestError, match="limit"):
            await asking.models.list(limit=0)
        async with openai_client(router) as other:
            assert [model.id async for model in other.models.list()] == names


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("fault", ["reset-after=6", "close-after=6"])
@pytest.mark.parametrize("speaks", ["anthropic", "openai"])
@pytest.mark.asyncio
async def test_a_stream_that_breaks_is_no_whole_answer(
    protocol: Protocol, fault: str, speaks: str
) -> None:
    headers = {"x-sim-fault": fault}
    async with routed("gateway", protocol) as (router, _):
        text = ""
        if speaks == "anthropic":
            async with client(router) as asking:
                with pytest.raises(anthropic.APIError):
                    async with asking.messages.stream(
                        model="big", max_tokens=50, messages=QUESTION, extra_headers=headers
                    ) as stream:
                        async for piece in stream.text_stream:
                            text += piece
        else:
            async with openai_client(router) as chatting:
                stream_of = await chatting.chat.completions.create(
                    model="big", stream=True, messages=QUESTION, extra_headers=headers
                )
                with pytest.raises(openai.APIError):
                    async for chunk in stream_of:
                        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        assert ANSWER.startswith(text)
        assert text != ANSWER


@pytest.mark.asyncio
async def test_prompts_that_are_too_long_are_told_in_both_apis() -> None:
    short = SimServer(models=(SimModel("big", max_model_len=20),), api_keys=(KEY,))
    long: Any = [{"role": "user", "content": "word " * 100}]
    document: dict[str, Any] = {"models": {}}
    async with serve_sim([short]) as (sim,):
        key = {"env": "KEY"}
        document["models"] = {
            "a": {"endpoints": [sim.url], "upstream_name": "big", "credential": key},
            "b": {
                "endpoints": [sim.url],
                "upstream_name": "big",
                "protocol": "anthropic",
                "credential": {**key, "header": "x-api-key", "prefix": ""},
            },
        }
        async with running("gateway", document, {"KEY": KEY}) as router:
            async with client(router) as asking, openai_client(router) as chatting:
                for model in ("a", "b"):
                    with pytest.raises(anthropic.BadRequestError, match="maximum context"):
                        await asking.messages.create(model=model, max_tokens=5, messages=long)
                    with pytest.raises(openai.BadRequestError, match="maximum context"):
                        await chatting.chat.completions.create(
                            model=model, max_tokens=5, messages=long
                        )
