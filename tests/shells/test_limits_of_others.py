"""Beside our limits: those of providers, those of batches, and what clients make of refusals."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.running import Running, chat, running

KEY = "k" * 24
WORDS = {"role": "assistant", "content": "hello"}
CHOICE = {"index": 0, "message": WORDS, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
THEIRS = (
    b"x-ratelimit-limit-tokens: 30000000\r\nX-RateLimit-Reset-Requests: 6ms\r\n"
    b"anthropic-ratelimit-tokens-remaining: 123\r\nx-kept: yes\r\n"
)


@contextlib.asynccontextmanager
async def vendor() -> AsyncIterator[str]:
    """A provider that tells of our account with it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = [
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ] or [0]
                await reader.readexactly(length)
                said = {"object": "chat.completion", "model": "m", "usage": USAGE}
                said |= {"id": "x", "choices": [CHOICE]}
                body = json.dumps(said).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + THEIRS)
                writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def document(url: str, folder: Path, **tier: Any) -> dict[str, Any]:
    return {
        "models": {"m": {"endpoints": [url], "tiers": []}},
        "batches": {"enabled": True, "folder": str(folder / "batches")},
        "maas": {
            "folder": str(folder / "maas"),
            "users": [{"name": "u", "token": {"env": "KEY"}}],
            "tiers": [{"name": "t", "groups": ["system:authenticated"], **tier}],
        },
    }


async def token(router: Running, path: str = "tokens") -> str:
    mine = {"authorization": f"Bearer {KEY}"}
    made = await router.ask(
        {"name": "k"} if path == "api-keys" else {}, mine, f"/maas-api/v1/{path}"
    )
    assert made.status == 201, made.body
    return str(made.json["token"])


@pytest.mark.parametrize("shell", ["gateway", "envoy"])
async def test_a_provider_s_limits_do_not_stand_beside_ours(shell: str, tmp_path: Path) -> None:
    """They would tell of somebody else's account, and contradict what is said of the caller's."""
    tier = {"tokens": [{"limit": 900, "window": "1h"}]}
    async with vendor() as url, running(shell, document(url, tmp_path, **tier), {"KEY": KEY}) as r:
        shown = {"authorization": f"Bearer {await token(r)}"}
        answer = await r.ask(chat("hi", "m"), shown)
        assert answer.status == 200 and answer.headers["x-kept"] == "yes"
        assert answer.headers.getall("x-ratelimit-limit-tokens") == ["900"]
        assert "x-ratelimit-reset-requests" not in answer.headers
        assert not [name for name in answer.headers if name.lower().startswith("anthropic-")]


def lines(count: int) -> bytes:
    return b"\n".join([
        json.dumps({"custom_id": f"{i}", "method": "POST", "url": "/v1/chat/completions",
                    "body": chat("hi", "m")}).encode()
        for i in range(count)
    ])  # fmt: skip


async def ended(ai: openai.AsyncOpenAI, count: int = 3) -> Any:
    file = await ai.files.create(file=("in.jsonl", io.BytesIO(lines(count))), purpose="batch")
    batch = await ai.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    async with asyncio.timeout(20):
        while batch.status not in ("completed", "failed", "expired"):
            await asyncio.sleep(0.1)
            batch = await ai.batches.retrieve(batch.id)
    return batch


async def test_a_batch_waits_for_room(tmp_path: Path) -> None:
    """What is over a limit is asked again when there is room: no line is lost to it, and none of
    them takes more than its maker may."""
    tier = {"requests": [{"limit": 2, "window": "1s"}]}
    async with (
        vendor() as url,
        running("gateway", document(url, tmp_path, **tier), {"KEY": KEY}) as r,
        openai.AsyncOpenAI(base_url=f"{r.url}/v1", api_key=await token(r)) as ai,
    ):
        batch = await ended(ai)
        assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 0)


async def test_a_line_for_which_there_is_never_room_is_answered(tmp_path: Path) -> None:
    """It does not hold up the others until the batch expires."""
    text = document("", tmp_path, tokens=[{"limit": 10, "window": "1h"}])
    text["maas"]["limits"] = {"strict": True}
    async with vendor() as url:
        text["models"]["m"]["endpoints"] = [url]
        async with (
            running("gateway", text, {"KEY": KEY}) as r,
            openai.AsyncOpenAI(base_url=f"{r.url}/v1", api_key=await token(r)) as ai,
        ):
            batch = await ended(ai, 1)
            assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 1)
            told = (await ai.files.content(batch.error_file_id)).json()
            assert told["response"]["status_code"] == 429


@pytest.mark.parametrize("what", ["tokens", "api-keys"])
async def test_a_batch_ends_with_what_it_was_made_with(tmp_path: Path, what: str) -> None:
    """A2-39: whoever revokes a stolen token stops what was begun with it."""
    async with vendor() as url, running("gateway", document(url, tmp_path), {"KEY": KEY}) as r:
        maas = r.app.maas
        assert maas is not None
        caller = await maas.callers.find(await token(r, what))
        assert caller is not None
        again = await maas.callers.again(caller)
        assert again is not None and again.tier == "t"
        (person,) = maas._users.persons.values()
        await maas.revoke(person)
        assert await maas.callers.again(caller) is None
        await token(r, what)  # the account is there again, and another one
        assert await maas.callers.again(caller) is None


async def test_official_clients_know_what_it_is(tmp_path: Path) -> None:
    """401, 403 and 429 are the exceptions that programs are written for; what to wait for is
    heeded, and what no waiting helps is not asked again."""
    tier = {"requests": [{"limit": 1, "window": "1h"}]}
    text = document("", tmp_path, **tier)
    async with vendor() as url:
        text["models"]["m"]["endpoints"] = [url]
        text["models"]["other"] = {"endpoints": [url]}
        async with running("gateway", text, {"KEY": KEY}) as r:
            shown = await token(r)
            hello: Any = [{"role": "user", "content": "hi"}]
            async with (
                openai.AsyncOpenAI(base_url=f"{r.url}/v1", api_key="x" * 30) as nobody,
                openai.AsyncOpenAI(base_url=f"{r.url}/v1", api_key=shown, max_retries=0) as ai,
                anthropic.AsyncAnthropic(base_url=r.url, api_key="x" * 30) as stranger,
                anthropic.AsyncAnthropic(base_url=r.url, api_key=shown, max_retries=0) as claude,
            ):
                ask = {"model": "m", "messages": hello}
                with pytest.raises(openai.AuthenticationError):
                    await nobody.chat.completions.create(**ask)
                with pytest.raises(anthropic.AuthenticationError):
                    await stranger.messages.create(max_tokens=5, **ask)
                with pytest.raises(openai.PermissionDeniedError):
                    await ai.chat.completions.create(**{**ask, "model": "other"})
                with pytest.raises(openai.RateLimitError) as first:
                    await ai.chat.completions.create(**ask)
                assert int(first.value.response.headers["retry-after"]) > 3000
                with pytest.raises(anthropic.RateLimitError) as second:
                    await claude.messages.create(max_tokens=5, **ask)
                assert int(second.value.response.headers["retry-after"]) > 3000
                assert (second.value.body or {})["error"]["type"] == "rate_limit_error"  # type: ignore[index,call-overload]
                with pytest.raises(anthropic.RateLimitError):
                    await claude.messages.create(max_tokens=5, stream=True, **ask)
