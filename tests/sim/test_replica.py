"""A simulated server answers the OpenAI API as vLLM does."""

import base64
import json
import struct

import pytest
from openai import NotFoundError
from openai.types.chat import ChatCompletionChunk

from wayside.sim import SimModel, SimServer, count_tokens, serve_sim

from .conftest import chat

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


async def test_an_answer_says_who_gave_it_and_counts_its_tokens(openai_for):
    async with serve_sim([SimServer((SimModel("small"),), replica=3)]) as [sim]:
        done = await openai_for(sim).chat.completions.create(model="small", messages=HELLO)
    text = done.choices[0].message.content
    assert "small, replica 3" in text and "Hello" in text
    assert done.id.startswith("chatcmpl-") and done.model == "small"
    assert done.system_fingerprint is None
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.prompt_tokens == count_tokens("Hello")
    assert done.usage.completion_tokens == count_tokens(text)
    assert done.usage.total_tokens == count_tokens("Hello") + count_tokens(text)


async def test_the_same_prompt_gets_the_same_answer_and_another_prompt_another(openai_for):
    async def ask(client, content):
        done = await client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": content}]
        )
        return done.choices[0].message.content

    async with serve_sim(["small"]) as [sim]:
        client = openai_for(sim)
        parts = [{"type": "text", "text": "one"}]
        assert await ask(client, "one") == await ask(client, "one") == await ask(client, parts)
        assert await ask(client, "one") != await ask(client, "two")


async def test_a_stream_spells_the_same_answer_and_ends_with_usage_when_asked(openai_for):
    async with serve_sim(["small"]) as [sim]:
        client = openai_for(sim)
        whole = await client.chat.completions.create(model="small", messages=HELLO)
        stream = await client.chat.completions.create(
            model="small", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks: list[ChatCompletionChunk] = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks[-3:-1]] == [None, "stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_stream_without_the_option_has_no_usage(http):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(f"{sim.url}/v1/chat/completions", json=chat(stream=True)) as response,
    ):
        page = await response.text()
    assert response.content_type == "text/event-stream"
    assert page.endswith("data: [DONE]\n\n")
    assert "usage" not in page


async def test_the_first_token_and_those_after_it_take_their_time(http):
    slow = SimModel("small", ttft_s=0.1, itl_s=0.01, answer_tokens=12)
    async with serve_sim([slow]) as [sim]:
        clock = sim.replica.clock
        began = clock()
        async with http.post(f"{sim.url}/v1/chat/completions", json=chat(stream=True)) as response:
            assert clock() - began < 0.09, "vLLM sends the head before the first token"
            await response.content.readline()
            first = clock() - began
            page = await response.text()
            last = clock() - began
    tokens = page.count('"content": ')
    assert first == pytest.approx(0.1, abs=0.05)
    assert last >= 0.1 + 0.01 * (tokens - 1) - 0.005


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_token_limit_cuts_the_answer(openai_for, field):
    async with serve_sim(["small"]) as [sim]:
        done = await openai_for(sim).chat.completions.create(
            model="small", messages=HELLO, **{field: 5}
        )
    assert done.choices[0].finish_reason == "length"
    assert done.usage.completion_tokens == 5


async def test_ignore_eos_makes_exactly_as_many_tokens_as_asked_for(openai_for):
    async with serve_sim(["small"]) as [sim]:
        done = await openai_for(sim).chat.completions.create(
            model="small", messages=HELLO, max_tokens=333, extra_body={"ignore_eos": True}
        )
    assert (done.usage.completion_tokens, done.choices[0].finish_reason) == (333, "length")


async def test_a_stop_text_ends_the_answer_before_it(http):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(f"{sim.url}/v1/chat/completions", json=chat(stop=["replica"])) as response,
    ):
        choice = (await response.json())["choices"][0]
    assert choice["message"]["content"] == "This is small, "
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "replica")


async def test_n_choices_differ_and_stream_side_by_side(openai_for):
    async with serve_sim(["small"]) as [sim]:
        client = openai_for(sim)
        done = await client.chat.completions.create(model="small", messages=HELLO, n=3)
        texts = [choice.message.content for choice in done.choices]
        spelled = ["", "", ""]
        stream = await client.chat.completions.create(
            model="small", messages=HELLO, n=3, stream=True
        )
        async for chunk in stream:
            spelled[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert len(set(texts)) == 3 and spelled == texts


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_tool_is_called_with_arguments_that_fit(openai_for, choice, stream):
    ask = {"model": "small", "messages": HELLO, "tools": [TOOL], "tool_choice": choice}
    async with serve_sim(["small"]) as [sim]:
        client = openai_for(sim)
        if stream:
            async with client.chat.completions.stream(**ask) as events:
                done = await events.get_final_completion()
        else:
            done = await client.chat.completions.create(**ask)
    call = done.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Hello"}
    assert done.choices[0].finish_reason == "tool_calls"


async def test_tools_that_are_not_forced_are_not_called(openai_for):
    async with serve_sim(["small"]) as [sim]:
        done = await openai_for(sim).chat.completions.create(
            model="small", messages=HELLO, tools=[TOOL], tool_choice="auto"
        )
    assert done.choices[0].message.tool_calls is None


async def test_structured_output_fits_its_schema(openai_for):
    schema = {"type": "object", "properties": {"n": {"enum": [7]}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with serve_sim(["small"]) as [sim]:
        done = await openai_for(sim).chat.completions.create(
            model="small", messages=HELLO, response_format=wanted
        )
    assert json.loads(done.choices[0].message.content) == {"n": 7}


async def test_text_completions_answer_every_prompt(openai_for):
    async with serve_sim(["small"]) as [sim]:
        client = openai_for(sim)
        done = await client.completions.create(
            model="small", prompt=["one", "two"], max_tokens=8, echo=True
        )
        stream = await client.completions.create(
            model="small", prompt="one", max_tokens=8, echo=True, stream=True
        )
        spelled = "".join([chunk.choices[0].text async for chunk in stream])
    assert done.object == "text_completion"
    assert [choice.text[:8] for choice in done.choices] == ["oneThis ", "twoThis "]
    assert done.usage.completion_tokens == 16
    assert spelled == done.choices[0].text


async def test_embeddings_are_unit_vectors_and_similar_texts_are_near(openai_for, http):
    async with serve_sim([SimModel("small", dimensions=64)]) as [sim]:
        done = await openai_for(sim).embeddings.create(
            model="small", input=["the red house", "the red houses", "quantum chromodynamics"]
        )
        body = {"model": "small", "input": "the red house", "encoding_format": "base64"}
        async with http.post(f"{sim.url}/v1/embeddings", json=body) as response:
            packed = (await response.json())["data"][0]["embedding"]
    a, b, c = (item.embedding for item in done.data)
    dot = lambda x, y: sum(p * q for p, q in zip(x, y, strict=True))  # noqa: E731
    assert len(a) == 64 and dot(a, a) == pytest.approx(1, abs=1e-5)
    assert dot(a, b) > dot(a, c)
    assert struct.unpack("<64f", base64.b64decode(packed)) == pytest.approx(a)


async def test_models_are_listed_with_their_aliases(openai_for):
    async with serve_sim([SimModel("small", aliases=("tiny",))]) as [sim]:
        client = openai_for(sim)
        listed = await client.models.list()
        done = await client.chat.completions.create(model="tiny", messages=HELLO)
        one = await client.models.retrieve("small")
    assert [model.id for model in listed.data] == ["small", "tiny"]
    assert done.model == "small" and one.owned_by == "vllm"


async def test_an_unknown_model_is_refused_as_vllm_does(openai_for):
    async with serve_sim(["small"]) as [sim]:
        with pytest.raises(NotFoundError) as refused:
            await openai_for(sim).chat.completions.create(model="x", messages=HELLO)
    assert refused.value.body == {
        "message": "The model `x` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }


@pytest.mark.parametrize(
    "raw", [b"{", b"", b"[]", b"\xff", b"[" * 100_000], ids=["cut", "none", "list", "raw", "deep"]
)
async def test_a_body_that_is_not_a_json_object_is_400(http, raw):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(f"{sim.url}/v1/chat/completions", data=raw) as response,
    ):
        assert response.status == 400
        assert (await response.json())["error"]["code"] == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": "hi"},
        {"messages": [{"content": "hi"}]},
        {"messages": [{"role": "user", "content": 1}]},
        {"n": 0},
        {"n": "2"},
        {"max_tokens": -1},
        {"max_tokens": True},
        {"stop": 5},
        {"model": None},
        {"stream_options": 1},
        {"tool_choice": "required"},
        {"response_format": {"type": "xml"}},
        {"max_tokens": 131072},
    ],
    ids=str,
)
async def test_a_wrong_parameter_is_400(openai_for, http, wrong):
    async with serve_sim(["small"]) as [sim]:
        async with http.post(f"{sim.url}/v1/chat/completions", json=chat() | wrong) as response:
            assert response.status == 400
            assert (await response.json())["error"]["type"] == "BadRequestError"
        assert sim.stats.statuses == {400: 1}


async def test_odd_paths_and_methods(http):
    async with serve_sim(["small"]) as [sim]:
        async with http.get(f"{sim.url}/v1/nothing") as response:
            assert response.status == 404
        async with http.get(f"{sim.url}/v1/chat/completions") as response:
            assert response.status == 405
        async with http.get(f"{sim.url}/version") as response:
            assert "version" in await response.json()


async def test_health_can_be_switched_off(http):
    async with serve_sim(["small"]) as [sim]:
        async with http.get(f"{sim.url}/health") as response:
            assert response.status == 200
        sim.healthy = False
        async with http.get(f"{sim.url}/health") as response:
            assert response.status == 503
        async with http.put(f"{sim.url}/_sim/health", json={"healthy": True}):
            assert sim.healthy
        assert sim.stats.requests == 0 and sim.stats.probes == 2


async def test_a_vllm_server_with_a_key_wants_it(openai_for, http):
    async with serve_sim([SimServer((SimModel("small"),), api_keys=("k1",))]) as [sim]:
        await openai_for(sim, "k1").models.list()
        async with http.get(f"{sim.url}/v1/models") as response:
            assert (response.status, await response.json()) == (401, {"error": "Unauthorized"})


async def test_a_request_id_is_echoed_and_names_the_answer(http):
    async with (
        serve_sim(["small"]) as [sim],
        http.post(
            f"{sim.url}/v1/chat/completions", json=chat(), headers={"X-Request-Id": "r1"}
        ) as response,
    ):
        assert response.headers["x-request-id"] == "r1"
        assert (await response.json())["id"] == "chatcmpl-r1"


def test_a_name_served_twice_is_refused():
    with pytest.raises(ValueError, match="served twice"):
        SimServer((SimModel("a"), SimModel("b", aliases=("a",))))
