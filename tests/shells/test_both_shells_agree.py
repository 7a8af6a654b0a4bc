"""Two doors, one core: the same requests through the HTTP gateway and through a real Envoy.

What reaches the model server (body bytes, headers that matter) and what the client learns
(status, model, x-vsr-* headers, error bodies) must be the same.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from tests.running import Answer, Running, chat, running

from wayside.sim import Sim, SimModel, SimServer, serve_sim
from wayside.vocab.prompt import NOTHING

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
LONG = "word " * 20_000


class Case(NamedTuple):
    """A request: what is posted, with which headers, to which path."""

    body: Any
    headers: Mapping[str, str] = NOTHING
    path: str = "/v1/chat/completions"


CORPUS = {
    "a question": Case(chat("What is the derivative of x squared?")),
    "an urgent one": Case(chat("this is URGENT, please")),
    "nothing special": Case(chat("tell me about your day")),
    "german": Case(chat("Bitte schreiben Sie mir einen freundlichen Brief an meine Nachbarn.")),
    "japanese": Case(chat("こんにちは、元気ですか?")),
    "emoji and escapes": Case(
        b'{"model":"auto","messages":[{"role":"user","content":"\\ud83d\\ude00 hi"}]}'
    ),
    "empty text": Case(chat("")),
    "long": Case(chat(LONG)),
    "parts": Case(
        {
            "model": "auto",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "urgent!"}, PICTURE]},
            ],
        }
    ),
    "tools and options": Case(
        chat("urgent", tools=[TOOL], n=2, stream_options=None, x_vendor={"kept": [1, 2.50]})
    ),
    "spaced json": Case(json.dumps(chat("urgent things", temperature=0), indent=4).encode()),
    "a concrete model": Case(json.dumps(chat("hi", "small"), indent=2).encode()),
    "an alias": Case(chat("hi", "little")),
    "an adapter": Case(chat("hi", "small-sql")),
    "an entrypoint": Case(chat("hi", "careful")),
    "debug": Case(chat("urgent, what is 7 times 8?"), {"x-vsr-debug": "true"}),
    "forged": Case(
        chat("hi", "small"), {"x-selected-model": "big", "x-vsr-selected-model": "big"}
    ),
    "own key": Case(chat("hi", "big"), {"authorization": "Bearer mine", "x-api-key": "mine"}),
    "curl -d": Case(chat("urgent"), {"content-type": "application/x-www-form-urlencoded"}),
    "tenant": Case(chat("urgent"), {"x-tenant": "blue", "x-legacy": "yes"}),
    "completions": Case({"model": "small", "prompt": "Once upon a time"}, path="/v1/completions"),
    "completions, routed": Case({"model": "auto", "prompt": "urgent"}, path="/v1/completions"),
    "embeddings": Case({"model": "small", "input": "hello"}, path="/v1/embeddings"),
    "embeddings, routed": Case({"model": "auto", "input": "hello"}, path="/v1/embeddings"),
    "unknown model": Case(chat("hi", "nobody")),
    "bad json": Case(b'{"model": '),
    "no messages": Case({"model": "auto"}),
    "wrong types": Case({"model": "auto", "messages": [{"role": 5}]}),
    "not an object": Case(b"[]"),
    "empty body": Case(b""),
    "unknown path": Case(chat("hi"), path="/v1/nothing"),
    "query kept": Case(chat("hi", "small"), path="/v1/chat/completions?trace=1"),
}


def document(small: Sim, big: Sim) -> dict[str, Any]:
    return {
        "models": {
            "small": {
                "endpoints": [small.url],
                "aliases": ["little"],
                "loras": ["small-sql"],
                "reasoning_family": "qwen3",
                "headers": {"x-model-header": "one"},
            },
            "big": {
                "endpoints": [f"{big.url}/v1"],
                "upstream_name": "vendor/big-1",
                "credential": {"env": "BIG_KEY"},
            },
        },
        "reasoning_families": {
            "qwen3": {"type": "chat_template_kwargs", "parameter": "enable_thinking"}
        },
        "routing": {
            "default_model": "small",
            "signals": {
                "keyword": {"urgent": {"keywords": ["urgent"]}},
                "domain": {"sums": {"labels": ["math"], "threshold": 0.4}},
                "language": {"de": {"languages": ["de"]}},
                "context": {"long": {"min_tokens": 10_000}},
            },
            "decisions": [
                {
                    "name": "now",
                    "priority": 5,
                    "when": "keyword:urgent",
                    "models": [{"model": "small", "reasoning": False}],
                    "plugins": {
                        "system_prompt": {"prompt": "Be quick.", "mode": "insert"},
                        "header_mutation": {
                            "add": [{"name": "x-tenant", "value": "none"}],
                            "update": [{"name": "x-speed", "value": "fast"}],
                            "delete": ["x-legacy"],
                        },
                    },
                },
                {"name": "sums", "when": "domain:sums", "models": ["big"]},
                {
                    "name": "long",
                    "when": {"any": ["context:long", "language:de"]},
                    "models": ["big"],
                },
            ],
        },
        "recipes": {
            "careful": {"decisions": [{"name": "always", "models": ["big"]}]},
        },
        "entrypoints": [{"names": ["careful"], "recipe": "careful"}],
    }


class Pair(NamedTuple):
    gateway: Running
    envoy: Running
    sims: list[Sim]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[Pair]:
    servers = [
        SimServer((SimModel("small", aliases=("small-sql",)),)),
        SimServer((SimModel("vendor/big-1"),)),
    ]
    env = {"BIG_KEY": "sk-big"}
    async with contextlib.AsyncExitStack() as stack:
        sims = await stack.enter_async_context(serve_sim(servers))
        settings = document(*sims)
        gateway = await stack.enter_async_context(running("gateway", settings, env))
        envoy = await stack.enter_async_context(running("envoy", settings, env))
        yield Pair(gateway, envoy, sims)


pytestmark = pytest.mark.asyncio(loop_scope="module")

SENT = frozenset(
    {
        "authorization",
        "x-api-key",
        "content-type",
        "content-length",
        "x-selected-model",
        "x-model-header",
        "x-tenant",
        "x-speed",
        "x-legacy",
        "x-vsr-selected-model",
        "x-vsr-debug",
    }
)
"""Request headers compared; the others are the client library's or Envoy's own."""


async def outcome(router: Running, sims: list[Sim], case: Case) -> dict[str, Any]:
    for sim in sims:
        sim.clear()
    answer = await router.ask(case.body, case.headers, case.path)
    seen = [request for sim in sims for request in sim.requests]
    return {
        "status": answer.status,
        "told": {k: v for k, v in answer.headers.items() if k.lower().startswith("x-vsr-")},
        "content-type": answer.headers.get("content-type"),
        "answer": _lasting(answer),
        "seen": [
            (
                request.method,
                request.path,
                request.body,
                {k.lower(): v for k, v in request.headers if k.lower() in SENT},
            )
            for request in seen
        ],
    }


def _lasting(answer: Answer) -> Any:
    """The body, without what differs between any two answers."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return answer.body
    if not isinstance(told, dict):
        return told
    told.get("usage", {}).pop("prompt_tokens_details", None)  # the second prompt hits its cache
    return {k: v for k, v in told.items() if k not in ("id", "created")}


@pytest.mark.parametrize("case", CORPUS.values(), ids=CORPUS.keys())
async def test_both_shells_agree(both: Pair, case: Case) -> None:
    over_http = await outcome(both.gateway, both.sims, case)
    through_envoy = await outcome(both.envoy, both.sims, case)
    assert over_http == through_envoy
    assert over_http["told"], "every response says which contract it speaks"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small", "/v1/models/none", "/health"])
async def test_both_shells_list_the_same_models(both: Pair, path: str) -> None:
    over_http, through_envoy = await both.gateway.get(path), await both.envoy.get(path)
    assert over_http.status == through_envoy.status
    first, second = over_http.json, through_envoy.json
    for item in [*first.get("data", []), *second.get("data", []), first, second]:
        item.pop("created", None)
    assert first == second


async def test_streams_are_the_same_bytes(both: Pair) -> None:
    said = []
    for router in (both.gateway, both.envoy):
        answer = await router.ask(chat("urgent: count to three", stream=True))
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [
            json.loads(e[6:]) for e in answer.body.split(b"\n\n") if e.startswith(b"data: {")
        ]
        assert answer.body.rstrip().endswith(b"data: [DONE]")
        said.append([e["choices"] for e in events])
    assert said[0] == said[1]


async def test_the_log_line_says_the_same(both: Pair) -> None:
    lines = []
    for router in (both.gateway, both.envoy):
        line = await router.line(await router.ask(chat("this is urgent")))
        lines.append(
            {k: line.get(k) for k in ("status", "requested", "model", "decision", "signals")}
        )
    assert lines[0] == lines[1]
