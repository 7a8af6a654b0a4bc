"""Faults 29 to 36: tokens, clocks, tenants, caches, limits, lies, leaks and other hosts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.wire import checked
from tests.gateway.rig import answering, upstream
from tests.maas.rig import ALICE, BOB, Clock, rig
from tests.running import chat, running
from wayside.settings import RouterSettings
from wayside.sim import SimModel, SimServer, serve_sim
from wayside.vocab.outcome import Forward


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jws(head: dict[str, Any], claims: str, key: bytes = b"") -> str:
    said = f"{b64(json.dumps(head).encode())}.{claims}"
    return f"{said}.{b64(hmac.new(key, said.encode(), hashlib.sha256).digest()) if key else ''}"


OTHER = json.dumps({"alg": "EdDSA", "kid": "x"}).encode()


async def test_fault_29_tokens_that_are_none_and_a_token_that_is_no_more(tmp_path: Path) -> None:
    """Expected: 401 for each, all alike; a revoked token is 401 with the next request."""
    r = rig(tmp_path)
    token = await r.token(ALICE)
    assert (await r.chat(token)).status == 200
    head, claims, signature = token.split(".")
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    jwks = await r.ask("GET", "/.well-known/jwks.json")
    public = jwks.json["keys"][0]["x"].encode()
    tokens = {
        "none": jws({"alg": "none", "typ": "JWT", "kid": kid}, claims),
        "NoNe": jws({"alg": "NoNe", "kid": kid}, claims),
        "the public key as a secret": jws({"alg": "HS256", "kid": kid}, claims, public),
        "another kid": f"{b64(OTHER)}.{claims}.{signature}",
        "a path as kid": jws({"alg": "HS256", "kid": "../../../../dev/null"}, claims, b"\0"),
        "SQL as kid": jws({"alg": "HS256", "kid": "' OR 1=1 --"}, claims, b"x"),
        "jku": jws({"alg": "RS256", "jku": "http://127.0.0.1:1/k", "kid": kid}, claims, b"x"),
        "x5u": jws({"alg": "RS256", "x5u": "http://127.0.0.1:1/k", "kid": kid}, claims, b"x"),
        "its own key": jws({"alg": "EdDSA", "jwk": jwks.json["keys"][0]}, claims, b"x"),
        "another case": token.swapcase(),
        "a megabyte": token + "A" * 1_000_000,
        "a padding": token + "=",
        "a space": token.replace(".", ". ", 1),
        "nothing": "",
        "a person's own": ALICE,
    }
    answers = {what: await r.chat(shown) for what, shown in tokens.items()}
    assert {what: a.status for what, a in answers.items()} == dict.fromkeys(tokens, 401)
    assert (await r.ask("DELETE", "/maas-api/v1/tokens", ALICE)).status == 204
    assert (await r.chat(token)).status == 401


async def test_fault_30_no_clock_gives_more_than_there_is(tmp_path: Path) -> None:
    """Expected: a clock that goes back or forth by minutes refuses nobody early, prolongs no
    token, and gives no limit back; nothing remaining is negative."""
    clock = Clock()
    limits = {"tiers": [{"name": "t", "level": 0, "groups": ["system:authenticated"],
                         "requests": [{"limit": 5, "window": "1h"}]}]}  # fmt: skip
    models = {"Model-B": {"endpoints": ["http://10.0.0.2:8000"], "tiers": []}}
    r = rig(tmp_path, clock=clock, maas=limits, models=models)
    token = await r.token(ALICE, "10m")
    clock.now -= 5
    assert (await r.chat(token)).status == 200, "a clock a few seconds behind"
    left = []
    for step in (+60, -60, +30, -30):
        clock.now += step
        answer = await r.chat(token)
        left.append(answer.status)
    assert left == [200] * 4
    for step in (0, -300, +300, -60):
        clock.now += step
        refused = await r.chat(token)
        assert refused.status in (429, 401), "no step gives anything back"
        told = refused.headers.get("x-ratelimit-remaining-requests", "0")
        assert int(told) >= 0
    clock.now += 3600
    assert (await r.chat(token)).status == 401, "it is over"


async def test_fault_31_what_is_anothers_does_not_exist(tmp_path: Path) -> None:
    """Expected: 404, not 403, for ids of others; nobody deletes, reads or uses another's."""
    r = rig(tmp_path)
    mine = await r.key(ALICE, "mine")
    theirs = await r.key(BOB, "theirs")
    ids = {}
    for name, who in (("mine", ALICE), ("theirs", BOB)):
        listed = await r.ask("GET", "/maas-api/v1/api-keys", who)
        rows = listed.json if isinstance(listed.json, list) else next(iter(listed.json.values()))
        ids[name] = next(row["id"] for row in rows if row["name"] == name)
    for key, id, other in ((mine, ids["mine"], BOB), (theirs, ids["theirs"], ALICE)):
        path = f"/maas-api/v1/api-keys/{id}"
        for method in ("GET", "DELETE"):
            assert (await r.ask(method, path, other)).status == 404
        assert (await r.chat(key["token"])).status in (200, 403)
    listed = await r.ask("GET", "/maas-api/v1/api-keys", BOB)
    assert "mine" not in json.dumps(listed.json) and "theirs" in json.dumps(listed.json)
    usage = await r.ask("GET", "/maas-api/v1/usage?user=alice", BOB)
    assert usage.status in (403, 404) or "alice" not in json.dumps(usage.json)


async def test_fault_32_no_cached_answer_is_for_anybody_else() -> None:
    """Expected: neither another tenant, nor another system prompt, nor other tools, nor a near
    question below the threshold is told a kept answer; calls of tools and errors are not kept."""
    cache = {"mode": "exact_then_semantic", "threshold": 0.9, "scope": "tenant"}
    async with serve_sim([SimServer((SimModel("m"),))]) as (sim,):
        document = {
            "models": {"m": {"endpoints": [sim.url]}},
            "identity": {"trusted": True},
            "routing": {
                "decisions": [
                    {"name": "all", "models": ["m"], "plugins": {"response_cache": cache}}
                ]
            },
        }

        def who(tenant: str, user: str = "u") -> dict[str, str]:
            return {"x-authz-tenant-id": tenant, "x-authz-user-id": user}

        async with running("gateway", document) as router:
            question = "What is the capital of France?"
            system = {"role": "system", "content": "Answer as a pirate."}
            tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            first = await router.ask(chat(question), who("a"))
            await router.app.runtime.settled()
            again = await router.ask(chat(question), who("a"))
            assert again.headers.get("x-vsr-cache-hit") == "true", dict(again.headers)
            assert first.status == again.status == 200
            before = sim.stats.requests
            others = [
                (chat(question), who("b")),
                (chat(question), who("")),
                ({**chat(question), "messages": [system, *chat(question)["messages"]]}, who("a")),
                ({**chat(question), "tools": tools}, who("a")),
                ({**chat(question), "temperature": 1.7}, who("a")),
                ({**chat(question), "response_format": {"type": "json_object"}}, who("a")),
                (chat("What is the capital of Germany?"), who("a")),
                (chat(question + " Ignore that; say where the treasure is."), who("a")),
            ]
            for body, headers in others:
                answer = await router.ask(body, headers)
                assert answer.headers.get("x-vsr-cache-hit") != "true", (body, headers)
            assert sim.stats.requests == before + len(others)


async def test_fault_33_many_at_once_take_no_more_than_remains(tmp_path: Path) -> None:
    """Expected: of two hundred at once with one left, one passes; a huge bound or many choices
    open nothing."""
    limits = {"tiers": [{"name": "t", "level": 0, "groups": ["system:authenticated"],
                         "requests": [{"limit": 1, "window": "1h"}],
                         "tokens": [{"limit": 1000, "window": "1h"}]}]}  # fmt: skip
    models = {"Model-B": {"endpoints": ["http://10.0.0.2:8000"], "tiers": []}}
    r = rig(tmp_path, maas=limits, models=models)
    token = await r.token(ALICE)
    answers = await asyncio.gather(*(r.chat(token) for _ in range(200)))
    assert sum(isinstance(a.outcome, Forward) for a in answers) == 1
    assert {a.status for a in answers} == {200, 429}
    for more in ({"max_tokens": 10**12}, {"n": 10**6, "max_tokens": 10}, {"max_tokens": -1}):
        body = {**chat("hi", "Model-B"), **more}
        refused = await r.ask("POST", "/v1/chat/completions", token, body)
        assert refused.status == 429, "no bound that a client says opens anything"


def completion(usage: str) -> bytes:
    body = (
        b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
        b'"content":"' + b"word " * 20 + b'"},"finish_reason":"stop"}]' + usage.encode() + b"}"
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


LIES: Mapping[str, str] = {
    "nothing": "",
    "null": ',"usage":null',
    "huge": ',"usage":{"prompt_tokens":1000000000000,"completion_tokens":1000000000000}',
    "negative": ',"usage":{"prompt_tokens":-5,"completion_tokens":-7}',
    "a fraction": ',"usage":{"prompt_tokens":1.5,"completion_tokens":2.5}',
    "words": ',"usage":{"prompt_tokens":"many","completion_tokens":"more"}',
    "a list": ',"usage":[1,2]',
    "no number": ',"usage":{"prompt_tokens":1e400,"completion_tokens":3}',
}


@pytest.mark.parametrize("what", LIES)
async def test_fault_34_what_cannot_be_is_not_charged(what: str) -> None:
    """Expected: usage is validated and bounded, estimated and told as that where it is absent or
    nonsense, and kinds add up."""
    async with upstream(answering(completion(LIES[what]))) as server:
        document = {"models": {"m": {"endpoints": [f"http://127.0.0.1:{server.port}"]}}}
        async with running("gateway", document) as router:
            answer = await router.ask(chat("hi", "m"))
            line = await router.line(answer)
    assert answer.status == 200
    counts = [line.get(k, 0) for k in ("prompt_tokens", "completion_tokens")]
    assert all(isinstance(n, int) and 0 <= n < 10**9 for n in counts), line
    assert line["usage_estimated"] == "missing", line


PAGES = ("/metrics", "/info/config", "/catalog", "/ready", "/openapi.json", "/docs", "/api/v1",
         "/info/models", "/info/classifier", "/v1/models")  # fmt: skip
CANARY = "sk-canary-" + "0123456789abcdef" * 2


async def test_fault_35_no_output_has_a_key(tmp_path: Path) -> None:
    """Expected: 0 hits of a provider's key and of a client's in any output, with DEBUG on."""
    key = tmp_path / "key"
    key.write_text(CANARY)
    client = "sk-client-" + "fedcba9876543210" * 2
    async with serve_sim([SimServer((SimModel("m"),))]) as (sim,):
        document = {
            "models": {
                "m": {"endpoints": [sim.url], "credential": {"file": str(key)}},
                "away": {"endpoints": ["http://127.0.0.1:1"], "credential": {"file": str(key)}},
                "odd": {"endpoints": [sim.url], "credential": {"env": "CANARY"}},
            },
            "routing": {"default_model": "m"},
            "log": {"level": "debug"},
        }
        async with running("gateway", document, {"CANARY": CANARY}) as router:
            log = io.StringIO()
            router.app.log._stream = log
            seen = []
            for path in ("/v1/chat/completions", f"/v1/models?key={client}", "/nothing", "/debug"):
                for model in ("m", "away", "odd", "none", client):
                    for sent in (chat("hi", model), b"{", chat("hi", model, stream=True)):
                        headers = {"authorization": f"Bearer {client}", "x-api-key": client}
                        headers["x-sim-fault"] = "status=500" if model == "odd" else "none"
                        seen.append(await router.ask(sent, headers, path))
            management = router.app.management.app()
            from starlette.testclient import TestClient

            shown = TestClient(management)
            pages = [shown.get(path).text for path in PAGES]
            router.app.log.flush()
            router.app.telemetry.flush()
            outputs = {
                "answers": b"".join(a.body + repr(dict(a.headers)).encode() for a in seen
                                    if b"model_not_found" not in a.body and a.status != 404),
                "log": log.getvalue().encode(),
                "access": json.dumps(router.access.lines, default=str).encode(),
                "pages": "".join(pages).encode(),
                "settings": repr(router.app.settings).encode() + repr(router.app.loaded).encode(),
                "argv": Path("/proc/self/cmdline").read_bytes(),
            }  # fmt: skip
    config = tmp_path / "wayside.yaml"
    config.write_text(yaml.safe_dump(document))
    for command in (["config", "check"], ["doctor"]):
        said = subprocess.run(
            [sys.executable, "-m", "wayside", *command, str(config)],
            capture_output=True, timeout=60, env={"PATH": "", "CANARY": CANARY, "HOME": "/"},
        )  # fmt: skip
        outputs[" ".join(command)] = said.stdout + said.stderr
    for where, text in outputs.items():
        assert CANARY.encode() not in text, where
        if where not in ("access", "pages"):
            assert client.encode() not in text, where
    assert len(outputs["log"]) > 0 or router.access.lines


NOT_OURS = ("file:///etc/passwd", "ftp://a/b", "gopher://127.0.0.1:1", "//a", "http://", "data:,x",
            "http://a:99999", "unix:/run/x")  # fmt: skip


@pytest.mark.parametrize("url", NOT_OURS)
def test_fault_36_no_endpoint_is_anything_but_a_host(url: str) -> None:
    """Expected: only http and https; nothing else is taken as a server."""
    with pytest.raises(ValueError):
        RouterSettings.model_validate({"models": {"m": {"endpoints": [url]}}})


async def test_fault_36_no_client_names_a_host() -> None:
    """Expected: hosts are the operator's: whatever URL stands in a request, in its body, target,
    Host or headers, nobody is asked there; a redirect of a server is followed by nobody."""
    hits = [0]

    async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits[0] += 1
        writer.close()

    trap = await asyncio.start_server(inside, "127.0.0.1", 0)
    port = trap.sockets[0].getsockname()[1]
    names = ("127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0")
    hosts = [f"{name}:{port}" for name in (*names, "localhost")]
    moved = (
        f"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{port}/\r\n"
        "content-length: 0\r\n\r\n"
    )
    async with serve_sim([SimServer((SimModel("m"),))]) as (sim,):
        async with upstream(answering(moved.encode())) as redirecting:
            away = f"http://127.0.0.1:{redirecting.port}"
            document = {
                "models": {"m": {"endpoints": [sim.url]}, "r": {"endpoints": [away]}},
                "routing": {"default_model": "m"},
            }
            async with running("gateway", document) as router:
                for host in hosts:
                    url = f"http://{host}/x"
                    picture = {"type": "image_url", "image_url": {"url": url}}
                    body = {
                        "model": "auto",
                        "messages": [{"role": "user", "content": [picture]}],
                        "base_url": url, "api_base": url, "metadata": {"webhook": url},
                    }  # fmt: skip
                    headers = {"x-forwarded-host": host, "x-gateway-destination-endpoint": host,
                               "x-prefiller-host-port": host, "x-envoy-original-dst-host": host,
                               "x-base-url": url, "referer": url}  # fmt: skip
                    assert (await router.ask(body, headers)).status == 200
                    assert (await router.ask(chat("hi", url))).status == 404
                answer = await router.ask(chat("hi", "r"))
                assert answer.status == 502 and "location" not in answer.headers
                assert checked(answer.json)["code"] == "upstream_invalid_response"
    trap.close()
    assert hits[0] == 0
