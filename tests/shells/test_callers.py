"""Somebody with a token, through the HTTP gateway and through a real Envoy: the same door.

A math prompt goes to Model-A, one about business to Model-B, as requirement 002 has them. Alice
may use both, Bob only Model-B, Eve's tier takes nothing. Rows A2-07, A2-08, A2-12, A2-29, A2-30,
A2-35, A2-37, A2-40, A2-41.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.running import Running, chat, running

from wayside.sim import Sim, SimModel, SimServer, serve_sim
from wayside.vocab.ask import Classify
from wayside.vocab.prompt import NOTHING

CHAT = "/v1/chat/completions"
ENV = {"ALICE": "a" * 24, "BOB": "b" * 24, "EVE": "e" * 24}
MATH, TRADE = "What is the derivative of x squared?", "How do I write an invoice to a customer?"
ODD = b'{ "id":"x",\n\t"choices" : [ {"index":0,"message":{"content":"\\u00e4"}} ],"usage":null }'
STREAM = b': wait\n\ndata: {"a":1}\n\ndata: {"a":2}\r\n\r\ndata: [DONE]\n\n'


def document(urls: Mapping[str, str], folder: Path) -> dict[str, Any]:
    def user(name: str, *groups: str) -> dict[str, Any]:
        return {"name": name, "groups": list(groups), "token": {"env": name.upper()}}

    def label(name: str) -> dict[str, Any]:
        return {"labels": [name], "threshold": 0.3}

    anybody: dict[str, Any] = {"tiers": []}
    return {
        "maas": {
            "folder": str(folder),
            "users": [user("alice", "premium-user"), user("bob"), user("eve", "nothing")],
            "tiers": [
                {"name": "free", "level": 0, "groups": ["system:authenticated"]},
                {"name": "premium", "level": 1, "groups": ["premium-user"]},
                {
                    "name": "none",
                    "level": 2,
                    "groups": ["nothing"],
                    "requests": [{"limit": 0, "window": "1m"}],
                },
            ],
        },
        "models": {
            "Model-A": {"endpoints": [urls["a"]], "tiers": ["premium"], "aliases": ["sums"]},
            "Model-B": {"endpoints": [urls["b"]], **anybody},
            "odd": {"endpoints": [urls["odd"]], **anybody, "usage": "asked"},
            "down": {"endpoints": ["http://127.0.0.1:9"], **anybody},
        },
        "routing": {
            "default_model": "Model-B",
            "signals": {"domain": {"math": label("math"), "business": label("business")}},
            "decisions": [
                {"name": "math", "when": "domain:math", "models": ["Model-A"]},
                {"name": "business", "when": "domain:business", "models": ["Model-B"]},
            ],
        },
        "recipes": {
            "strict": {"default_model": "Model-A", "decisions": []},
        },
        "entrypoints": [{"names": ["strict"], "recipe": "strict"}],
    }


class Side(NamedTuple):
    """A router, and the tokens that it gave."""

    router: Running
    tokens: Mapping[str, str]

    async def ask(
        self, case: Case, sims: list[Sim]
    ) -> tuple[int, dict[str, str], bytes, list[dict[str, str]]]:
        """Status, headers that matter, body, and the headers that servers saw."""
        for sim in sims:
            sim.clear()
        token = self.tokens.get(case.who, case.who)
        headers = {**({"authorization": f"Bearer {token}"} if token else {}), **case.headers}
        answer = await self.router.ask(case.body, headers, case.path)
        told = {k.lower(): v for k, v in answer.headers.items() if k.lower().startswith(TOLD)}
        seen = [{k.lower(): v for k, v in r.headers} for sim in sims for r in sim.requests]
        return answer.status, told, answer.body, seen


class Case(NamedTuple):
    """A request, and whose: a user, or a token as it is."""

    who: str
    body: Any
    headers: Mapping[str, str] = NOTHING
    path: str = CHAT


TOLD = ("x-vsr-", "x-maas-", "www-authenticate", "retry-after", "x-ratelimit-", "content-type")
NONE_YET = {"messages": [{"role": "user", "content": "hi"}]}


class Both(NamedTuple):
    gateway: Side
    envoy: Side
    sims: list[Sim]

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.gateway, self.envoy


async def odd(request: web.Request) -> web.StreamResponse:
    """Bytes that no encoder of ours would write."""
    said = json.loads(await request.read())
    if not said.get("stream"):
        return web.Response(body=ODD, content_type="application/json")
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    for at in range(0, len(STREAM), 7):
        await answer.write(STREAM[at : at + 7])
    return answer


async def token_of(url: str, secret: str) -> str:
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/maas-api/v1/tokens", json={}, headers=headers) as answer,
    ):
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["token"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Both]:
    servers = [SimServer((SimModel("Model-A"),)), SimServer((SimModel("Model-B"),))]
    app = web.Application()
    app.router.add_post(CHAT, odd)
    async with contextlib.AsyncExitStack() as stack:
        sims = await stack.enter_async_context(serve_sim(servers))
        strange = await stack.enter_async_context(TestServer(app))
        urls = {"a": sims[0].url, "b": sims[1].url, "odd": str(strange.make_url("")).rstrip("/")}
        sides = []
        for shell in ("gateway", "envoy"):
            settings = document(urls, tmp_path_factory.mktemp(shell))
            router = await stack.enter_async_context(running(shell, settings, ENV))
            tokens = {k.lower(): await token_of(router.url, v) for k, v in ENV.items()}
            sides.append(Side(router, tokens))
        yield Both(sides[0], sides[1], sims)


pytestmark = pytest.mark.asyncio(loop_scope="module")

CORPUS = {
    "no token": Case("", chat(MATH)),
    "a wrong token": Case("nonsense", chat(MATH)),
    "somebody's own token is no token of ours": Case(ENV["ALICE"], chat(MATH)),
    "math": Case("alice", chat(MATH)),
    "business": Case("alice", chat(TRADE)),
    "math, of who may not": Case("bob", chat(MATH)),
    "a model that is not for them": Case("bob", chat("hi", "Model-A")),
    "its alias": Case("bob", chat("hi", "sums")),
    "no model is left": Case("bob", chat(MATH, "strict")),
    "no model of the name": Case("bob", chat("hi", "nobody")),
    "over a limit": Case("eve", chat("hi", "Model-B")),
    "over a limit, as Anthropic's client": Case(
        "eve", {"model": "Model-B", "max_tokens": 5, **NONE_YET}, path="/v1/messages"
    ),
    "stream": Case("alice", chat(MATH, stream=True)),
    "named by its path": Case("alice", NONE_YET, path=f"/model-a{CHAT}"),
    "named by path and namespace": Case("alice", NONE_YET, path=f"/llm/Model-A{CHAT}"),
    "another one in the body": Case("alice", chat("hi", "Model-B"), path=f"/model-a{CHAT}"),
    "its path, of who may not": Case("bob", NONE_YET, path=f"/model-a{CHAT}"),
    "Anthropic's client on a path": Case(
        "bob", {"max_tokens": 5, **NONE_YET}, path="/model-a/v1/messages"
    ),
    "says who they are": Case("alice", chat(MATH), {"X-MaaS-Username": "root"}),
    "says its groups": Case("alice", chat(MATH), {"x-maas-group": '["admin"]'}),
    "says its subscription": Case("alice", chat(MATH), {"X-MAAS-SUBSCRIPTION": "gold"}),
    "says where to": Case(
        "alice",
        chat(MATH),
        {
            "x-selected-model": "Model-B",
            "x-vsr-destination-endpoint": "10.0.0.1:80",
            "x-gateway-destination-endpoint": "10.0.0.1:80",
            "x-gateway-model-name": "Model-B",
            "X-MaaS-Model-Executed": "Model-B",
            "x_maas_model_executed": "Model-B",
            "x-authz-user-id": "root",
        },
    ),
}
AWAY = Case("alice", chat("hi", "down"))


def lasting(body: bytes) -> Any:
    """What does not differ between any two answers."""
    if body.startswith(b"data: "):
        events = [json.loads(e[6:]) for e in body.split(b"\n\n") if e.startswith(b"data: {")]
        return [event["choices"] for event in events]
    told = json.loads(body)
    if "choices" not in told and "usage" not in told:
        return re.sub(rb'"request_id":"[^"]+"', b"", body)  # a refusal: every other byte
    told.get("usage", {}).pop("prompt_tokens_details", None)
    return {k: v for k, v in told.items() if k not in ("id", "created")}


@pytest.mark.parametrize("name", CORPUS)
async def test_both_shells_agree(both: Both, name: str) -> None:
    """A2-07, A2-08, A2-35: status, headers and, where it is ours, every byte of the body."""
    case = CORPUS[name]
    first = await both.gateway.ask(case, both.sims)
    second = await both.envoy.ask(case, both.sims)
    assert first[:2] == second[:2]
    assert lasting(first[2]) == lasting(second[2])
    ours = ("authorization", "x-selected-model", "x-maas-model-executed", "x-maas-username")
    for seen in (first[3], second[3]):
        for headers in seen:
            assert not {"authorization", "x-maas-username", "x-maas-model-executed",
                        "x_maas_model_executed", "x-authz-user-id"} & set(headers)  # fmt: skip
    assert [{k: h.get(k) for k in ours} for h in first[3]] == [
        {k: h.get(k) for k in ours} for h in second[3]
    ]


@pytest.mark.parametrize(
    ("name", "status", "executed"),
    [
        ("no token", 401, None),
        ("a wrong token", 401, None),
        ("somebody's own token is no token of ours", 401, None),
        ("math", 200, "Model-A"),
        ("business", 200, "Model-B"),
        ("math, of who may not", 200, "Model-B"),
        ("a model that is not for them", 403, "none"),
        ("its alias", 403, "none"),
        ("no model is left", 403, "none"),
        ("no model of the name", 404, "none"),
        ("over a limit", 429, "none"),
        ("stream", 200, "Model-A"),
        ("named by its path", 200, "Model-A"),
        ("named by path and namespace", 200, "Model-A"),
        ("another one in the body", 400, None),
        ("its path, of who may not", 403, "none"),
        ("says who they are", 403, None),
        ("says its groups", 403, None),
        ("says its subscription", 403, None),
        ("says where to", 200, "Model-A"),
    ],
)
async def test_what_becomes_of_them(
    both: Both, name: str, status: int, executed: str | None
) -> None:
    """A2-12, A2-29, A2-35, A2-37: what a client says of itself or of the way changes nothing."""
    found, told, body, seen = await both.gateway.ask(CORPUS[name], both.sims)
    assert (found, told.get("x-maas-model-executed")) == (status, executed), body
    assert len(seen) == (1 if status == 200 else 0)
    if status == 200 and not body.startswith(b"data:"):
        assert json.loads(body)["model"] == executed


async def test_an_error_after_the_choice_names_the_model(both: Both) -> None:
    """A2-37: each shell says in its own words that no server answered."""
    for side in both.sides:
        status, told, *_ = await side.ask(AWAY, both.sims)
        assert (status in (502, 503), told["x-maas-model-executed"]) == (True, "down")


async def test_nobody_s_prompt_is_read(both: Both) -> None:
    """A2-41: without a token that is believed, no classifier is asked."""
    for side in both.sides:
        runtime = side.router.app.runtime
        asked: list[Any] = []
        before = runtime._answerers[Classify]

        def counting(question: Any, before: Any = before, asked: list[Any] = asked) -> Any:
            asked.append(question)
            return before(question)

        runtime._answerers[Classify] = counting
        try:
            for name in ("no token", "a wrong token", "says who they are"):
                assert (await side.ask(CORPUS[name], both.sims))[0] in (401, 403)
            assert asked == []
            assert (await side.ask(CORPUS["math"], both.sims))[0] == 200
            assert len(asked) == 1
        finally:
            runtime._answerers[Classify] = before


async def test_the_chosen_model_is_visible_behind_the_filter(both: Both) -> None:
    """A2-40: for policies of a gateway that come after the choice; a client's own is replaced."""
    for name in ("math", "named by its path", "says where to"):
        *_, (seen,) = await both.envoy.ask(CORPUS[name], both.sims)
        assert seen["x-gateway-model-name"] == "Model-A"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_answer_comes_back_unchanged(both: Both, stream: bool) -> None:
    """A2-30: to the byte, whoever asks."""
    case = Case("alice", chat("hi", "odd", stream=stream))
    for side in both.sides:
        status, told, body, _ = await side.ask(case, both.sims)
        assert (status, told["x-maas-model-executed"]) == (200, "odd")
        assert body == (STREAM if stream else ODD)


async def test_models_are_listed_for_whoever_asks(both: Both) -> None:
    """A2-35: in both shells the same, and nothing without a token."""
    for side in both.sides:
        for who, path, wanted in (
            ("bob", "/v1/models", ["MoM", "Model-B", "auto", "down", "odd"]),
            ("alice", "/model-a/v1/models", ["Model-A"]),
        ):
            headers = {"authorization": f"Bearer {side.tokens[who]}"}
            async with (
                aiohttp.ClientSession() as session,
                session.get(side.router.url + path, headers=headers) as answer,
            ):
                names = [item["id"] for item in (await answer.json())["data"]]
                assert sorted(names) == wanted
        assert (await side.router.get("/v1/models")).status == 401


async def test_nobody_s_body_is_waited_for(both: Both) -> None:
    """A2-41: who shows no token is answered before the body has come, in the same words."""
    said = []
    for side in both.sides:
        at = urlsplit(side.router.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{{"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(re.findall(rb"content-length: (\d+)", answer)[0])
            said.append((answer.split()[1], await reader.readexactly(length)))
        writer.close()
    assert said[0] == said[1] and said[0][0] == b"401"
