"""Providers by name: where requests go, with which key in which header; users' own keys; rotation.

Rows A4-24 to A4-30 of the acceptance list are cited where a test shows them.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from tests.running import SHELLS, Running, chat, running

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.settings.model import ModelSettings
from wayside.settings.providers import PROVIDERS, ProviderName
from wayside.telemetry import Log
from wayside.vocab.headers import USER_KEYS, user_key_header


class Cloud:
    """A server that answers any path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.bodies: list[Any] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(request)
        self.bodies.append(body)
        if request.path.endswith("/messages"):
            block = {"type": "text", "text": "hi"}
            message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
            ending = {"stop_reason": "end_turn", "stop_sequence": None}
            usage = {"input_tokens": 1, "output_tokens": 1}
            return web.json_response({**message, "content": [block], **ending, "usage": usage})
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "hi"},
            "finish_reason": "stop",
        }
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
        return web.json_response({**whole, "choices": [choice]})

    @property
    def keys(self) -> dict[str, str]:
        """The headers of the last request that could carry a key."""
        wanted = ("authorization", "x-api-key", "api-key")
        found = {name.lower(): value for name, value in self.asked[-1].headers.items()}
        return {k: v for k, v in found.items() if k in wanted or k.endswith("-key")}


@contextlib.asynccontextmanager
async def cloud() -> AsyncIterator[Cloud]:
    found = Cloud()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def test_every_provider_has_a_header_for_users_keys() -> None:
    assert set(PROVIDERS) == set(get_args(ProviderName))
    assert {user_key_header(name) for name in PROVIDERS} == USER_KEYS


WHERE = [
    ({"provider": "openai"}, "https://api.openai.com/v1"),
    ({"provider": "anthropic"}, "https://api.anthropic.com/v1"),
    (
        {"provider": "gemini"},
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    (
        {"provider": "vertex-ai", "project": "p", "location": "europe-west4"},
        "https://europe-west4-aiplatform.googleapis.com"
        "/v1/projects/p/locations/europe-west4/endpoints/openapi",
    ),
    (
        {"provider": "vertex-ai", "project": "p", "location": "global"},
        "https://aiplatform.googleapis.com/v1/projects/p/locations/global/endpoints/openapi",
    ),
    (
        {"provider": "bedrock", "location": "us-east-1"},
        "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1",
    ),
    (
        {"provider": "azure-openai", "endpoints": ["https://r.openai.azure.com"]},
        "https://r.openai.azure.com/openai/v1",
    ),
    (
        {
            "provider": "azure-openai",
            "endpoints": ["https://r.openai.azure.com"],
            "api_version": "2024-10-21",
            "upstream_name": "gpt 4o",
        },
        "https://r.openai.azure.com/openai/deployments/gpt%204o",
    ),
    ({"provider": "minimax"}, "https://api.minimax.io/v1"),
    (
        {"provider": "openai", "endpoints": [{"url": "http://proxy:8080/own", "weight": 2}]},
        "http://proxy:8080/own",
    ),
]


@pytest.mark.parametrize(("said", "url"), WHERE)
def test_a_providers_name_says_where_it_is(said: dict[str, Any], url: str) -> None:
    found = ModelSettings.model_validate(said)
    assert found.endpoints[0].url == url
    again = ModelSettings.model_validate(found.model_dump(exclude_defaults=True))
    assert again == found


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"provider": "opnai"}, "opnai"),
        ({"provider": "vertex-ai", "location": "global"}, "needs project"),
        ({"provider": "bedrock"}, "needs location"),
        (
            {
                "provider": "azure-openai",
                "api_version": "v",
                "endpoints": ["https://r.openai.azure.com"],
            },
            "needs upstream_name",
        ),
        ({"provider": "openai", "location": "eu"}, "location is for"),
        ({"endpoints": ["http://x"], "api_version": "1"}, "api_version is for"),
        ({"endpoints": ["http://x"], "accept_user_keys": True}, "name the provider"),
    ],
)
def test_what_cannot_be_is_refused(said: dict[str, Any], words: str) -> None:
    text = json.dumps({"models": {"m": said}}).encode()
    with pytest.raises(Exception, match=words) as caught:
        App(read(text, "t.yaml", env={}), env={}, log=Log(io.StringIO()))
    assert "models.m" in str(caught.value)


SENT = [
    ("openai", {}, "/v1/chat/completions", {"authorization": "Bearer sk"}),
    ("anthropic", {}, "/v1/messages", {"x-api-key": "sk"}),
    ("azure-openai", {}, "/openai/v1/chat/completions", {"api-key": "sk"}),
    (
        "azure-openai",
        {"api_version": "2024-10-21", "upstream_name": "dep"},
        "/openai/deployments/dep/chat/completions?api-version=2024-10-21",
        {"api-key": "sk"},
    ),
    ("gemini", {}, "/v1beta/openai/chat/completions", {"authorization": "Bearer sk"}),
    (
        "vertex-ai",
        {"project": "p", "location": "global"},
        "/v1/projects/p/locations/global/endpoints/openapi/chat/completions",
        {"authorization": "Bearer sk"},
    ),
    (
        "bedrock",
        {"location": "us-east-1"},
        "/openai/v1/chat/completions",
        {"authorization": "Bearer sk"},
    ),
    ("minimax", {}, "/v1/chat/completions", {"authorization": "Bearer sk"}),
]


@pytest.mark.parametrize(("provider", "more", "path", "keys"), SENT)
@pytest.mark.asyncio
async def test_requests_go_as_the_provider_wants_them(
    provider: str, more: dict[str, Any], path: str, keys: dict[str, str]
) -> None:
    """A4-27: the client's own key goes no further, ours goes in the provider's header."""
    async with cloud() as far:
        model = {
            "provider": provider,
            "endpoints": [far.url],
            "credential": {"env": "KEY"},
            "headers": {"x-org": "acme"},
            **more,
        }
        async with running("gateway", {"models": {"m": model}}, {"KEY": "sk"}) as router:
            headers = {"authorization": "Bearer client", "x-user-openai-key": "user"}
            answer = await router.ask(chat("hi", "m"), headers)
            assert answer.status == 200
            assert answer.json["choices"][0]["message"]["content"] == "hi"
            assert far.asked[-1].raw_path == path
            assert far.keys == keys
            assert far.asked[-1].headers["x-org"] == "acme"
            assert "sk" not in str(router.access.lines)


@pytest.mark.asyncio
async def test_everything_can_be_overridden() -> None:
    async with cloud() as far:
        model = {
            "provider": "azure-openai",
            "endpoints": [f"{far.url}/apim/llm"],
            "credential": {"env": "KEY", "header": "ocp-apim-subscription-key", "prefix": ""},
            "protocol": "anthropic",
        }
        async with running("gateway", {"models": {"m": model}}, {"KEY": "sk"}) as router:
            assert (await router.ask(chat("hi", "m"))).status == 200
            assert far.asked[-1].raw_path == "/apim/llm/messages"
            assert far.keys == {"ocp-apim-subscription-key": "sk"}


OWN_KEYS: dict[str, Any] = {
    "open": {"provider": "openai", "accept_user_keys": True},
    "shared": {"provider": "openai", "accept_user_keys": True, "credential": {"env": "KEY"}},
    "closed": {"provider": "openai", "credential": {"env": "KEY"}},
    "claude": {"provider": "anthropic", "accept_user_keys": True},
    "azure": {"provider": "azure-openai", "accept_user_keys": True},
    "mine": {},
}
KEYS = {f"x-user-{name}-key": f"u-{name}" for name in ("openai", "anthropic", "azure-openai")}
GOES: list[tuple[str, dict[str, str], int, dict[str, str]]] = [
    ("open", KEYS, 200, {"authorization": "Bearer u-openai"}),
    ("open", {}, 401, {}),
    ("shared", KEYS, 200, {"authorization": "Bearer u-openai"}),
    ("shared", {}, 200, {"authorization": "Bearer sk"}),
    ("closed", KEYS, 200, {"authorization": "Bearer sk"}),
    ("claude", KEYS, 200, {"x-api-key": "u-anthropic"}),
    ("claude", {"x-user-openai-key": "u"}, 401, {}),
    ("azure", KEYS, 200, {"api-key": "u-azure-openai"}),
    ("mine", KEYS, 200, {}),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.asyncio
async def test_users_keys_go_to_their_provider_alone(shell: str) -> None:
    async with cloud() as far:
        models = {name: {**said, "endpoints": [far.url]} for name, said in OWN_KEYS.items()}
        async with running(shell, {"models": models}, {"KEY": "sk"}) as router:
            for name, headers, status, keys in GOES:
                before = len(far.asked)
                answer = await router.ask(
                    chat("hi", name), {"authorization": "Bearer c", **headers}
                )
                assert answer.status == status, name
                if status == 200:
                    assert far.keys == keys, name
                else:
                    assert answer.json["error"]["code"] == "missing_api_key"
                    assert "x-user-" in answer.json["error"]["message"]
                    assert len(far.asked) == before
            assert "u-openai" not in str(router.access.lines)


@pytest.mark.asyncio
async def test_a_rotated_key_is_sent_without_a_restart(tmp_path: Path) -> None:
    """A4-28."""
    secret = tmp_path / "key"
    secret.write_text("old\n")
    async with cloud() as far:
        model = {
            "provider": "anthropic",
            "endpoints": [far.url],
            "credential": {"file": str(secret)},
        }
        async with running("gateway", {"models": {"m": model}}) as router:
            await router.ask(chat("hi", "m"))
            assert far.keys == {"x-api-key": "old"}
            secret.write_text("new\n")
            assert router.app.keys.refresh() == [str(secret)]
            await router.ask(chat("hi", "m"))
            assert far.keys == {"x-api-key": "new"}


@pytest.mark.parametrize("key", ["sk-/&\\x", "sk-${HOME}", "sk-%41 b"])
@pytest.mark.asyncio
async def test_any_characters_of_a_key_arrive(key: str) -> None:
    """A4-26."""
    async with cloud() as far:
        model = {"provider": "openai", "endpoints": [far.url], "credential": {"env": "KEY"}}
        async with running("gateway", {"models": {"m": model}}, {"KEY": key}) as router:
            await router.ask(chat("hi", "m"))
            assert far.keys == {"authorization": f"Bearer {key}"}


@pytest.mark.asyncio
async def test_the_host_is_the_providers() -> None:
    """A4-30."""
    async with cloud() as far:
        model = {"provider": "openai", "endpoints": [far.url]}
        async with running("gateway", {"models": {"m": model}}) as router:
            await router.ask(chat("hi", "m"), {"host": "router.example"})
            assert far.asked[-1].headers["host"] == far.url.removeprefix("http://")


@pytest.mark.asyncio
async def test_strict_providers_get_what_their_api_has() -> None:
    async with cloud() as far:
        models = {
            "strict": {"provider": "openai", "endpoints": [far.url]},
            "own": {"endpoints": [far.url]},
        }
        asked = {"max_tokens": 9, "top_k": 3, "messages": [{"role": "user", "content": "hi"}]}
        async with running("gateway", {"models": models}) as router:
            for model in models:
                answer = await router.ask({**asked, "model": model}, path="/v1/messages")
                assert answer.status == 200
        strict, own = far.bodies
        assert strict["max_completion_tokens"] == 9
        assert not {"max_tokens", "top_k"} & set(strict)
        assert (own["max_tokens"], own["top_k"]) == (9, 3)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.asyncio
async def test_a_model_of_another_api_answers_instead(path: str) -> None:
    async with cloud() as far:
        gone = {"endpoints": ["http://127.0.0.1:9"]}
        models = {
            "a": {**gone, "protocol": "anthropic", "fallbacks": ["b"]},
            "b": {"endpoints": [far.url]},
            "c": {**gone, "fallbacks": ["d"]},
            "d": {"endpoints": [far.url], "protocol": "anthropic"},
        }
        body = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        async with running("gateway", {"models": models}) as router:
            for asked, speaks in (("a", "openai"), ("c", "anthropic")):
                answer = await router.ask({**body, "model": asked}, path=path)
                assert answer.status == 200
                client = "openai" if path.endswith("completions") else "anthropic"
                said = answer.json["content"] if client == "anthropic" else answer.json["choices"]
                assert said
                told = answer.headers.get("x-vsr-upstream-protocol")
                assert told == (speaks if speaks != client else None)


async def test_adapters_are_asked_for_by_their_names() -> None:
    async with cloud() as far:
        model = {"provider": "openai", "endpoints": [far.url], "loras": ["sql"]}
        async with running("gateway", {"models": {"m": model}}) as router:
            assert isinstance(router, Running)
            await router.ask(chat("hi", "sql"))
            assert far.bodies[-1]["model"] == "sql"
