"""Anthropic's own client against the router, in front of servers of either API; and OpenAI's
client against a server of Anthropic's API. Behind the gateway and behind a real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from tests.running import SHELLS, Running, running

from wayside.sim import Sim, SimModel, SimServer, serve_sim
from wayside.sim.settings import FaultRates, StatusRate

Protocol = Literal["openai", "anthropic"]
PROTOCOLS: tuple[Protocol, ...] = ("openai", "anthropic")
KEY = "sk-provider"
ANSWER = "Seven times eight is fifty-six, as everyone who has learnt it by heart knows."
QUESTION: Any = [{"role": "user", "content": "What is seven times eight?"}]
WEATHER: Any = {
    "name": "weather",
    "description": "The weather somewhere.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
SERVER = SimServer(
    models=(SimModel("big", answer=ANSWER), SimModel("little", answer_tokens=9)), api_keys=(KEY,)
)


@contextlib.asynccontextmanager
async def routed(
    shell: str, protocol: Protocol, more: dict[str, Any] | None = None, server: SimServer = SERVER
) -> AsyncIterator[tuple[Running, Sim]]:
    """The router in front of one server that is asked in ``protocol``."""
    header = {"header": "x-api-key", "prefix": ""} if protocol == "anthropic" else {}
    async with serve_sim([server]) as (sim,):
        model = {
            "endpoints": [sim.url],
            "protocol": protocol,
            "credential": {"env": "KEY", **header},
            "retries": {"attempts": 1},
        }
        document = {
            "models": {"big": model, "small": {**model, "upstream_name": "little"}},
            "routing": {"default_model": "big"},
            **(more or {}),
        }
        async with running(shell, document, {"KEY": KEY}) as router:
            yield router, sim


def client(router: Running, **more: Any) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=router.url, api_key="mine", max_retries=0, **more)


def sent(sim: Sim) -> list[dict[str, Any]]:
    """The bodies that reached the server."""
    return [json.loads(request.body) for request in sim.requests]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_a_message_is_answered(shell: str, protocol: Protocol) -> None:
    async with routed(shell, protocol) as (router, sim), client(router) as asking:
        raw = await asking.messages.with_raw_response.create(
            model="auto",
            max_tokens=100,
            system="Be brief.",
            messages=QUESTION,
            stop_sequences=["STOP"],
            metadata={"user_id": "u-1"},
        )
        message = await raw.parse()
        assert [(block.type, block.text) for block in message.content] == [("text", ANSWER)]
        assert (message.type, message.role, message.model) == ("message", "assistant", "big")
        assert message.stop_reason == "end_turn"
        assert message.usage.output_tokens == -(-len(ANSWER) // 4)
        assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) > 5
        crossing = "x-vsr-client-protocol" in raw.headers
        assert crossing is (protocol == "openai")
        (recorded,) = sim.requests
        assert recorded.path == (
            "/v1/messages" if protocol == "anthropic" else "/v1/chat/completions"
        )
        assert "mine" not in str(recorded.headers)
        if protocol == "openai":
            assert raw.headers["x-vsr-upstream-protocol"] == "openai"
            assert message._request_id
            assert sent(sim)[0]["user"] == "u-1"
        else:
            assert sent(sim)[0]["system"] == "Be brief."


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_a_message_streams(shell: str, protocol: Protocol) -> None:
    async with routed(shell, protocol) as (router, _), client(router) as asking:
        whole = await asking.messages.create(model="big", max_tokens=100, messages=QUESTION)
        async with asking.messages.stream(
            model="big", max_tokens=100, messages=QUESTION
        ) as stream:
            pieces = [text async for text in stream.text_stream]
            message = await stream.get_final_message()
        assert "".join(pieces) == ANSWER
        assert len(pieces) > 5
        assert [block.text for block in message.content] == [block.text for block in whole.content]
        assert message.stop_reason == "end_turn"
        assert message.usage.output_tokens == whole.usage.output_tokens
        counts = message.usage
        total = counts.input_tokens + (counts.cache_read_input_tokens or 0)
        before = whole.usage
        assert total == before.input_tokens + (before.cache_read_input_tokens or 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.asyncio
async def test_a_tool_is_called_and_its_result_given_back(
    protocol: Protocol, streams: bool
) -> None:
    choice: Any = {"type": "tool", "name": "weather"}
    asked: Any = {"model": "big", "max_tokens": 200, "tools": [WEATHER], "messages": QUESTION}
    async with routed("gateway", protocol) as (router, sim), client(router) as asking:
        if streams:
            async with asking.messages.stream(**asked, tool_choice=choice) as stream:
                first = await stream.get_final_message()
        else:
            first = await asking.messages.create(**asked, tool_choice=choice)
        assert first.stop_reason == "tool_use"
        (call,) = first.content
        assert call.type == "tool_use"
        assert isinstance(call.input["city"], str)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}
        turns = [
            *QUESTION,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result, {"type": "text", "text": "And now?"}]},
        ]
        second = await asking.messages.create(**{**asked, "messages": turns})
        assert second.stop_reason == "end_turn"
        last = sent(sim)[-1]["messages"]
        if protocol == "openai":
            assert [turn["role"] for turn in last] == ["user", "assistant", "tool", "user"]
            assert last[1]["tool_calls"][0]["id"] == last[2]["tool_call_id"] == call.id
        else:
            assert last[2]["content"][0]["tool_use_id"] == call.id


def test_the_synchronous_client_is_served() -> None:
    async def main() -> None:
        async with routed("gateway", "openai") as (router, _):
            await asyncio.to_thread(ask, router.url)

    def ask(url: str) -> None:
        with Anthropic(base_url=url, api_key="mine", max_retries=0) as asking:
            said = asking.messages.create(model="auto", max_tokens=50, messages=QUESTION)
            assert said.content[0].type == "text"
            with asking.messages.stream(model="auto", max_tokens=50, messages=QUESTION) as stream:
                kinds = [event.type for event in stream]
            assert kinds[0] == "message_start"
            assert kinds[-1] == "message_stop"
            raw = asking.messages.create(
                model="auto", max_tokens=50, messages=QUESTION, stream=True
            )
            order = list(dict.fromkeys(event.type for event in raw))
            assert order == [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ]

    asyncio.run(main())


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_what_passes_untouched_is_not_translated(shell: str) -> None:
    body = json.dumps(
        {
            "model": "big",
            "max_tokens": 20,
            "thinking": {"type": "disabled"},
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
                    ],
                }
            ],
        },
        indent=3,
    ).encode()
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "some-beta"}
    async with routed(shell, "anthropic") as (router, sim):
        answer = await router.ask(body, headers, "/v1/messages?beta=true")
        assert answer.status == 200
        (recorded,) = sim.requests
        assert recorded.body == body
        assert recorded.path == "/v1/messages?beta=true"
        assert recorded.header("anthropic-beta") == "some-beta"
        renamed = await router.ask(body.replace(b'"big"', b'"small"'), headers, "/v1/messages")
        assert renamed.status == 200
        assert sent(sim)[-1] == {**json.loads(body), "model": "little"}


ERRORS: list[tuple[int, type[anthropic.APIStatusError], str]] = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (401, anthropic.AuthenticationError, "authentication_error"),
    (403, anthropic.PermissionDeniedError, "permission_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (413, anthropic.APIStatusError, "request_too_large"),
    (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (503, anthropic.InternalServerError, "api_error"),
    (529, anthropic.InternalServerError, "overloaded_error"),
]


@pytest.mark.parametrize(("status", "raised", "kind"), ERRORS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.asyncio
async def test_errors_of_servers_raise_what_they_should(
    protocol: Protocol, status: int, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    fault = {"x-sim-fault": f"status={status}"}
    async with routed("gateway", protocol) as (router, _), client(router) as asking:
        with pytest.raises(raised) as caught:
            await asking.messages.create(
                model="big", max_tokens=9, messages=QUESTION, extra_headers=fault
            )
        error = caught.value
        assert error.status_code == status
        assert isinstance(error.body, dict)
        assert error.body["type"] == "error"
        assert error.body["error"]["type"] in (kind, "api_error")
        if protocol == "openai":
            assert error.body["error"]["type"] == kind
            assert error.request_id == error.body["request_id"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_our_own_errors_are_anthropics(shell: str) -> None:
    async with routed(shell, "openai") as (router, _), client(router) as asking:
        with pytest.raises(anthropic.NotFoundError) as caught:
            await asking.messages.create(model="nobody", max_tokens=9, messages=QUESTION)
        assert caught.value.request_id
        body: Any = caught.value.body
        assert body["error"]["type"] == "not_found_error"
        assert body["request_id"] == caught.value.request_id
        with pytest.raises(anthropic.BadRequestError, match="messages"):
            await asking.messages.create(model="auto", max_tokens=9, messages="hi")  # type: ignore[arg-type]
        keys: Any = {"model": "auto", "max_tokens": 9, "messages": QUESTION}
        with pytest.raises(anthropic.AuthenticationError, match="different keys"):
            await asking.messages.create(**keys, extra_headers={"x-api-key": "another"})
        assert await asking.messages.create(**keys, extra_headers={"x-api-key": "mine"})


@pytest.mark.asyncio
async def test_the_shells_own_errors_are_anthropics() -> None:
    """413 of the gateway, and a server that is not there."""
    gone = {"models": {"big": {"endpoints": ["http://127.0.0.1:9"]}}}
    async with routed("gateway", "openai", {**gone, "limits": {"max_body_bytes": 4000}}) as both:
        async with client(both[0]) as asking:
            with pytest.raises(anthropic.APIStatusError) as caught:
                await asking.messages.create(
                    model="big", max_tokens=9, messages=[{"role": "user", "content": "x" * 9000}]
                )
            assert caught.value.status_code == 413
            body: Any = caught.value.body
            assert body["error"]["type"] == "request_too_large"
            with pytest.raises(anthropic.InternalServerError) as lost:
                await asking.messages.create(model="big", max_tokens=9, messages=QUESTION)
            assert lost.value.status_code == 502
            told: Any = lost.value.body
            assert (told["type"], told["error"]["type"]) == ("error", "api_error")
            assert lost.value.request_id == told["request_id"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.asyncio
async def test_envoys_own_errors_are_anthropics(protocol: Protocol) -> None:
    model = {"endpoints": ["http://127.0.0.1:9"], "protocol": protocol}
    document = {"models": {"big": model}}
    async with running("envoy", document) as router, client(router) as asking:
        with pytest.raises(anthropic.InternalServerError) as lost:
            await asking.messages.create(model="big", max_tokens=9, messages=QUESTION)
        assert lost.value.status_code == 503
        told: Any = lost.value.body
        assert (told["type"], told["error"]["type"]) == ("error", "api_error")
        assert told["request_id"]


@pytest.mark.parametrize("status", [429, 529])
@pytest.mark.asyncio
async def test_errors_are_translated_behind_envoy(status: int) -> None:
    fault = {"x-sim-fault": f"status={status}"}
    async with routed("envoy", "openai") as (router, _), client(router) as asking:
        with pytest.raises(anthropic.APIStatusError) as caught:
            await asking.messages.create(
                model="big", max_tokens=9, messages=QUESTION, extra_headers=fault
            )
        assert caught.value.status_code == status
        body: Any = caught.value.body
        assert body["error"]["type"] in ("rate_limit_error", "overloaded_error")
        assert "Simulated fault" in body["error"]["message"]


@pytest.mark.asyncio
async def test_a_rate_limit_is_waited_out() -> None:
    limited = SimServer(
        models=SERVER.models,
        api_keys=(KEY,),
        faults=FaultRates(status=StatusRate(rate=1.0, code=429, retry_after_s=0.01)),
    )
    async with routed("gateway", "openai", server=limited) as (router, sim):

        async def heal() -> None:
            await sim.until(lambda stats: stats.requests >= 1)
            sim.faults = FaultRates()

        healing = asyncio.create_task(heal())
        async with client(router).with_options(max_retries=2) as asking:
            said = await asking.messages.create(model="big", max_tokens=50, messages=QUESTION)
        await healing
        assert said.content[0].type == "text"
        assert len(sim.requests) == 2
