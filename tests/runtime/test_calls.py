"""Asking models over the fleet: real sockets, servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.flow.driving import policy
from tests.gateway.rig import Handler, Upstream, answering, head_and_body, read_request, upstream
from wayside.endpoints import Filter, Profile
from wayside.endpoints.random import RandomPicker, RandomRule
from wayside.fleet import Fleet
from wayside.runtime import Runtime
from wayside.runtime.calls import MAX_ANSWER, Calls
from wayside.settings import RouterSettings
from wayside.settings.load import parse
from wayside.vocab.ask import Flow, Now, ask
from wayside.vocab.calls import Complete, Completed, Lane, Tokens, each
from wayside.vocab.endpoint import Endpoint, Need, Roster
from wayside.vocab.errors import Abandoned, AskFailed

ANSWER = (
    b'{"choices": [{"index": 0, "message": {"content": "yes"}}], '
    b'"usage": {"prompt_tokens": 7, "completion_tokens": 3}}'
)
BODY = b'{"model": "auto", "messages": [{"role": "user", "content": "Why?"}]}'


def http(body: bytes = ANSWER, status: bytes = b"200 OK", *lines: bytes) -> bytes:
    head = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *lines, b"", body]
    return b"\r\n".join(head)


class Rig:
    """Calls to model ``m`` on these ports, and what was counted."""

    def __init__(self, *ports: int, model: str = "", scheme: str = "http") -> None:
        urls = ", ".join(f'"{scheme}://127.0.0.1:{port}"' for port in ports)
        text = f"models: {{m: {{endpoints: [{urls}]{model}}}}}\nrouting: {{default_model: m}}"
        self.settings = RouterSettings.model_validate(parse(text, {}))
        self.fleet = Fleet(self.settings.models)
        self.policy = policy(text)
        self.counted: list[tuple[str, str, Tokens | None]] = []
        self.calls = Calls(
            lambda: self.policy,
            self.fleet,
            lambda *said: self.counted.append(said),
            lambda: 0.0,
        )

    async def ask(self, **question: Any) -> Completed:
        return await self.calls.ask(Complete("m", BODY, **{"timeout_s": 5.0, **question}))

    def close(self) -> None:
        self.calls.close()
        self.fleet.close()

    @property
    def in_flight(self) -> int:
        return sum(replica.in_flight for replica in self.fleet.pools["m"].replicas)


@contextlib.asynccontextmanager
async def rig(*handlers: Handler, **kwargs: Any) -> AsyncIterator[tuple[Rig, list[Upstream]]]:
    async with contextlib.AsyncExitStack() as stack:
        ups = [await stack.enter_async_context(upstream(handler)) for handler in handlers]
        found = Rig(*[up.port for up in ups], **kwargs)
        try:
            yield found, ups
        finally:
            found.close()
            assert found.in_flight == 0


class Recording:
    """A server that answers every request and keeps what it was sent."""

    def __init__(self, response: bytes = http()) -> None:
        self.response = response
        self.heads: list[bytes] = []
        self.bodies: list[Any] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await read_request(reader)
            self.heads.append(head)
            self.bodies.append(json.loads(body))
            writer.write(self.response)
            await writer.drain()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await asyncio.sleep(60)


async def test_an_answer_with_its_time_and_its_tokens() -> None:
    async with rig(answering(http())) as (calls, _):
        found = await calls.ask()
    assert (found.model, found.status, found.body) == ("m", 200, ANSWER)
    assert found.seconds > 0
    assert calls.counted == [("m", "200", Tokens(prompt=7, completion=3))]


async def test_what_goes_out_is_the_models_own() -> None:
    server = Recording()
    model = (
        ", upstream_name: vendor/m-1, headers: {x-plan: ours}, "
        "credential: {env: OPENAI_API_KEY, header: api-key, prefix: ''}"
    )
    async with upstream(server) as up:
        calls = Rig(up.port, model=model)
        await calls.ask(
            headers=(
                ("authorization", "Bearer mine"),
                ("x-api-key", "mine"),
                ("x-plan", "theirs"),
                ("x-request-id", "r1"),
                ("x-odd", "a\r\nb: c"),
                ("content-length", "1"),
            )
        )
        calls.close()
    fields, _ = head_and_body(server.heads[0])
    assert server.heads[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert "authorization" not in fields
    assert "x-api-key" not in fields
    assert fields["api-key"] == "sk-ours"
    assert fields["x-plan"] == "ours"
    assert fields["x-selected-model"] == "m"
    assert fields["x-request-id"] == "r1"
    assert fields["x-odd"] == "a  b: c"
    assert fields["accept-encoding"] == "identity"
    assert server.heads[0].lower().count(b"content-length:") == 1
    assert server.bodies[0]["model"] == "vendor/m-1"


async def test_a_path_of_its_own_an_adapter_and_the_clients_key_where_it_is_kept() -> None:
    server = Recording()
    async with upstream(server) as up:
        text = (
            f'models: {{m: {{endpoints: ["http://127.0.0.1:{up.port}/base/v2"], loras: [tuned], '
            "keep_authorization: true}}\nrouting: {default_model: m}"
        )
        calls = Rig(up.port)
        calls.settings = RouterSettings.model_validate(parse(text, {}))
        calls.fleet.replace(calls.settings.models)
        calls.policy = policy(text)
        await calls.ask(lora="tuned", headers=(("authorization", "Bearer mine"),))
        calls.close()
    fields, _ = head_and_body(server.heads[0])
    assert server.heads[0].startswith(b"POST /base/v2/chat/completions ")
    assert fields["authorization"] == "Bearer mine"
    assert server.bodies[0]["model"] == "tuned"


@pytest.mark.parametrize("status", [b"400 Bad Request", b"429 Too Many Requests", b"500 Oh"])
async def test_an_error_is_an_answer_and_is_not_sent_again(status: bytes) -> None:
    server = Recording(http(b"not even json", status))
    async with rig(server) as (calls, _):
        found = await calls.ask()
    assert (found.status, found.body) == (int(status[:3]), b"not even json")
    assert len(server.heads) == 1
    assert calls.counted == [("m", status[:3].decode(), None)]


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (http(b"<html>"), "not JSON"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{", "broke off"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n{" % (MAX_ANSWER + 1), "bytes"),
    ],
)
async def test_what_is_no_answer_fails(response: bytes, why: str) -> None:
    if why == "bytes":
        response += b" " * MAX_ANSWER
    async with rig(answering(response, close=True)) as (calls, _):
        with pytest.raises(AskFailed, match=why):
            await calls.ask(timeout_s=20.0)
    assert calls.counted == [("m", "unanswered", None)]


async def test_silence_fails_in_time() -> None:
    async with rig(silence) as (calls, _):
        with pytest.raises(AskFailed, match="m did not answer in time"):
            await calls.ask(timeout_s=0.1)
    assert not calls.fleet.pools["m"].replicas[0].failures  # our patience, not its fault


async def test_the_models_own_patience_counts_too() -> None:
    async with rig(silence, model=", timeouts: {first_byte_s: 0.1}") as (calls, _):
        with pytest.raises(AskFailed, match="in time"):
            await calls.ask()
    assert calls.fleet.pools["m"].replicas[0].failures == 1


async def test_a_replica_that_cannot_be_reached_is_not_the_last_word() -> None:
    async with upstream(answering(http())) as gone, upstream(answering(http())) as up:
        calls = Rig(gone.port, up.port)
        await gone.stop()
        assert [(await calls.ask()).status for _ in range(4)] == [200] * 4
        calls.close()
    with pytest.raises(AskFailed, match="no connection"):
        await Rig(gone.port).ask()


async def test_connections_are_kept_and_one_that_was_closed_is_replaced() -> None:
    async with rig(answering(http())) as (calls, (up,)):
        for _ in range(3):
            await calls.ask()
        assert up.connections == 1
    async with rig(answering(http(), close=True)) as (calls, (up,)):
        for _ in range(3):
            await calls.ask()
        assert up.connections == 3


async def test_half_an_emoji_in_an_answer_is_mended() -> None:
    body = b'{"choices": [{"index": 0, "message": {"content": "\\ud83d"}}]}'
    async with rig(answering(http(body))) as (calls, _):
        found = await calls.ask()
    assert json.loads(found.body)["choices"][0]["message"]["content"] == "\ufffd"


async def test_a_lane_is_as_wide_as_it_says() -> None:
    under_way = most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        while True:
            await read_request(reader)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            writer.write(http())

    async with rig(slow) as (calls, _):
        lane = Lane(2)
        await asyncio.gather(*[calls.ask(lane=lane) for _ in range(6)])
        assert most == 2
        most = 0
        await asyncio.gather(*[calls.ask() for _ in range(6)])
        assert most == 6


async def test_a_model_that_is_full_is_waited_for() -> None:
    under_way = most = 0

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        while True:
            await read_request(reader)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            writer.write(http())

    model = ", queue: {max_in_flight: 1, max_queue: 2}"
    async with rig(slow, model=model) as (calls, _):
        found = await asyncio.gather(*[calls.ask() for _ in range(4)], return_exceptions=True)
    assert most == 1
    assert [isinstance(one, Completed) for one in found] == [True, True, True, False]
    assert "busy" in str(found[3])


async def test_a_users_own_key_goes_to_its_provider_alone() -> None:
    server = Recording()
    keys = (("x-user-groq-key", "gsk-users"), ("x-user-openai-key", "other"))
    async with upstream(server) as up:
        calls = Rig(up.port, model=", provider: groq, accept_user_keys: true")
        await calls.ask(headers=keys)
        with pytest.raises(AskFailed, match="a key of your own"):
            await calls.ask()
        calls.close()
    fields, _ = head_and_body(server.heads[0])
    assert fields["authorization"] == "Bearer gsk-users"
    assert not [name for name in fields if name.startswith("x-user-")]
    assert "gsk-users" not in repr(Complete("m", BODY, headers=keys))


async def test_a_server_that_speaks_anthropics_api_is_asked_and_read_in_it() -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }
    server = Recording(http(json.dumps(message).encode()))
    async with upstream(server) as up:
        calls = Rig(up.port, model=", protocol: anthropic")
        found = await calls.ask()
        calls.close()
    said = json.loads(found.body)
    assert said["choices"][0]["message"]["content"] == "yes"
    assert calls.counted == [("m", "200", Tokens(prompt=7, completion=3))]
    assert server.heads[0].startswith(b"POST /v1/messages HTTP/1.1\r\n")
    assert b"anthropic-version:" in server.heads[0]
    assert server.bodies[0]["messages"][0]["content"] == [{"type": "text", "text": "Why?"}]


async def test_a_reload_that_removes_the_model_is_told() -> None:
    async with rig(answering(http())) as (calls, _):
        with pytest.raises(AskFailed, match="no model any more"):
            await calls.calls.ask(Complete("gone", BODY))


# In the runtime


async def test_a_batch_is_asked_side_by_side() -> None:
    """Each server answers only when it has seen both questions."""
    here = asyncio.Barrier(2)

    async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        async with asyncio.timeout(5):
            await here.wait()
        writer.write(http())
        await writer.drain()

    def both() -> Flow[list[Any]]:
        yield from ask(Now())
        return (yield from each([Complete("m", BODY, 3.0), Complete("m", BODY, 3.0)]))

    async with rig(together) as (calls, _):
        found = await Runtime(calls.policy, calls.calls.answerers()).run(both())
    assert [answer.status for answer in found] == [200, 200]


async def test_who_leaves_takes_the_calls_with_it_and_the_flow_is_told() -> None:
    seen: list[str] = []
    started, gone = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        started.release()
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                pass
        gone.release()

    def both() -> Flow[None]:
        try:
            yield from each([Complete("m", BODY, 30.0), Complete("m", BODY, 30.0)])
        except Abandoned:
            seen.append("told")
            yield from ask(Now())
            seen.append("tidied")
            raise

    async with rig(waiting) as (calls, _):
        runtime = Runtime(calls.policy, calls.calls.answerers())
        task = asyncio.ensure_future(runtime.run(both()))
        async with asyncio.timeout(5):
            for _ in range(2):
                await started.acquire()
            began = asyncio.get_running_loop().time()
            task.cancel()
            for _ in range(2):
                await gone.acquire()
        assert asyncio.get_running_loop().time() - began < 1.0
        await asyncio.wait([task])
    assert task.cancelled()
    assert seen == ["told", "tidied"]
    assert calls.counted == [("m", "cancelled", None)] * 2


async def test_an_answer_at_hand_in_a_batch_with_calls_is_just_that() -> None:
    def mixed() -> Flow[Any]:
        return (yield (Now(), Complete("m", BODY, 3.0), Complete("none", BODY, 3.0)))

    async with rig(answering(http())) as (calls, _):
        now, good, bad = await Runtime(calls.policy, calls.calls.answerers()).run(mixed())
    assert now > 1e9
    assert good.status == 200
    assert "no model any more" in bad.reason


async def test_a_models_strategy_chooses_for_our_own_questions_too() -> None:
    class Third(Filter):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def keep(self, need: Need, roster: Roster) -> list[int]:
            assert need.model == "m" and need.text and need.headers["x-user"] == "u"
            return [2] if len(roster) == 3 else []

        def chosen(self, need: Need, endpoint: Endpoint) -> None:
            self.heard.append("chosen")

        def answered(self, need: Need, endpoint: Endpoint, seconds: float) -> None:
            assert seconds > 0
            self.heard.append("answered")

        def ended(self, need: Need, endpoint: Endpoint) -> None:
            self.heard.append("ended")

    servers = [Recording() for _ in range(3)]
    strict = ", picking: {picker: random, when_none: refuse}, queue: {max_in_flight: 1}"
    async with rig(*servers, model=strict) as (calls, _):
        third = Third()
        calls.fleet.pools["m"].profile = Profile([third], [], RandomPicker(RandomRule()))
        asked = [calls.ask(headers=(("X-User", "u"),)) for _ in range(4)]  # three of them wait
        found = await asyncio.gather(*asked)
    assert [answer.status for answer in found] == [200] * 4
    assert [len(server.bodies) for server in servers] == [0, 0, 4]
    assert third.heard == ["chosen", "answered", "ended"] * 4


async def test_our_own_question_that_gives_up_in_line_leaves_no_choice_behind() -> None:
    picking = ", picking: token_load, queue: {max_in_flight: 1, timeout_s: 5}"
    async with rig(silence, model=picking) as (calls, _):
        first = asyncio.create_task(calls.ask(timeout_s=0.3))
        second = asyncio.create_task(calls.ask(timeout_s=0.1))
        found = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(error) for error in found] == [AskFailed, AskFailed]
        pool = calls.fleet.pools["m"]
        profile = pool.profile
        assert profile is not None and pool.in_flight == 0
        (scorer,) = [s for s, _ in profile._dense]
        assert not scorer._loads
