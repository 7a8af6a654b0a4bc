"""Requirement 004, "Send Test Requests": two local models and OpenAI, on both shells.

OpenAI is the simulator in provider mode behind TLS, with a bearer key. Rows A4-27, A4-30,
A4-33..40 are named where they are shown.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from tests.running import SHELLS, Running, chat, running

from wayside.sim import Sim, SimModel, SimServer, TlsFiles, serve_sim

KEY = "sk-test-0123456789"
LINUX = "Linux is said to be an open source kernel because "
SUMS = "2+2 is  "
REST = {"max_tokens": 100, "temperature": 0}


class Cloud:
    """Two local models, a cloud, and the router in front of them."""

    def __init__(self, router: Running, sims: list[Sim]) -> None:
        self.router = router
        self.llama, self.phi, self.openai = sims


@pytest.fixture(params=SHELLS)
async def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cloud]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    cert, key, roots = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(roots)
    servers = [
        SimServer((SimModel("llama3-8b"),)),
        SimServer((SimModel("phi4-mini"),)),
        SimServer(
            (SimModel("gpt-4o-mini"),),
            provider="openai",
            api_keys=(KEY,),
            tls=TlsFiles(cert, key),
        ),
    ]
    async with contextlib.AsyncExitStack() as stack:
        sims = await stack.enter_async_context(serve_sim(servers))
        port = sims[2].url.rpartition(":")[2]
        document = {
            "models": {
                "llama3-8b": {"endpoints": [sims[0].url]},
                "phi4-mini": {"endpoints": [sims[1].url]},
                "gpt-4o-mini": {
                    "endpoints": [f"https://localhost:{port}/v1"],
                    "credential": {"env": "OPENAI_API_KEY"},
                    "tls": {"ca_file": str(roots)},
                },
            },
            "routing": {
                "default_model": "phi4-mini",
                "signals": {
                    "domain": {
                        "computer science": {"labels": ["computer science"], "threshold": 0.4},
                        "math": {"labels": ["math"], "threshold": 0.4},
                    }
                },
                "decisions": [
                    {
                        "name": "computer science",
                        "when": "domain:computer science",
                        "models": ["llama3-8b"],
                    },
                    {"name": "math", "when": "domain:math", "models": ["gpt-4o-mini"]},
                ],
            },
        }
        router = await stack.enter_async_context(
            running(request.param, document, {"OPENAI_API_KEY": KEY})
        )
        yield Cloud(router, sims)


async def test_an_explicit_local_model_gets_the_body_unaltered(cloud: Cloud) -> None:
    """A4-34, A4-39: the very bytes, and no signal is read."""
    raw = json.dumps(chat(LINUX, "llama3-8b", **REST), indent=3).encode()
    answer = await cloud.router.ask(raw)
    assert answer.status == 200 and answer.json["model"] == "llama3-8b"
    (seen,) = cloud.llama.requests
    assert seen.body == raw
    assert answer.headers["x-vsr-selected-model"] == "llama3-8b"
    assert "signals" not in await cloud.router.line(answer)


async def test_auto_about_linux_is_computer_science_and_goes_to_llama(cloud: Cloud) -> None:
    """A4-33, A4-35, A4-38, A4-39."""
    answer = await cloud.router.ask(chat(LINUX, **REST), {"x-vsr-debug": "true"})
    assert answer.status == 200 and answer.json["model"] == "llama3-8b"
    assert answer.headers["x-vsr-selected-model"] == "llama3-8b"
    assert answer.headers["x-vsr-selected-decision"] == "computer science"
    assert answer.headers["x-vsr-selected-category"] == "computer science"
    (seen,) = cloud.llama.requests
    assert json.loads(seen.body) == chat(LINUX, "llama3-8b", **REST)
    assert not cloud.openai.requests and not cloud.phi.requests


async def test_an_explicit_cloud_model_goes_to_openai_with_its_key(cloud: Cloud) -> None:
    """A4-27, A4-30, A4-36, A4-38: the provider's key there, and the client's own key nowhere."""
    mine = {"authorization": "Bearer sk-the-clients-own"}
    answer = await cloud.router.ask(chat(SUMS, "gpt-4o-mini", **REST), mine)
    assert answer.status == 200, answer.body
    told = answer.json
    assert told["model"] == "gpt-4o-mini-2024-07-18"
    assert told["id"].startswith("chatcmpl-") and told["system_fingerprint"].startswith("fp_")
    (seen,) = cloud.openai.requests
    assert seen.path == "/v1/chat/completions"
    assert seen.header("authorization") == f"Bearer {KEY}"
    assert seen.header("host").partition(":")[0] == "localhost"


async def test_auto_about_sums_is_math_and_goes_to_openai(cloud: Cloud) -> None:
    """A4-37, A4-39."""
    answer = await cloud.router.ask(chat(SUMS, **REST))
    assert answer.status == 200 and answer.json["model"].startswith("gpt-4o-mini")
    assert answer.headers["x-vsr-selected-decision"] == "math"
    (seen,) = cloud.openai.requests
    assert json.loads(seen.body) == chat(SUMS, "gpt-4o-mini", **REST)


async def test_a_local_model_never_sees_a_key(cloud: Cloud) -> None:
    """A4-27: neither the provider's, nor the client's own."""
    mine = {"authorization": "Bearer sk-mine", "x-api-key": "sk-mine", "api-key": "sk-mine"}
    await cloud.router.ask(chat(LINUX, "llama3-8b"), {**mine, "x-user-openai-key": "sk-mine"})
    await cloud.router.ask(chat(LINUX), mine)
    for seen in cloud.llama.requests:
        assert not any("sk-" in value for _, value in seen.headers)


@pytest.mark.parametrize("model", ["auto", "llama3-8b"])
async def test_a_forged_choice_is_ignored(cloud: Cloud, model: str) -> None:
    """A4-40: internal headers from outside choose nothing, and go no further."""
    forged = {
        "x-selected-model": "gpt-4o-mini",
        "x-vsr-selected-model": "gpt-4o-mini",
        "x-wayside-model": "gpt-4o-mini",
        "x-gateway-destination-endpoint": "127.0.0.1:1",
    }
    answer = await cloud.router.ask(chat(LINUX, model), forged)
    assert answer.json["model"] == "llama3-8b"
    (seen,) = cloud.llama.requests
    names = {name.lower(): value for name, value in seen.headers}
    assert names["x-selected-model"] == "llama3-8b"
    assert not [n for n in names if n.startswith(("x-vsr-", "x-wayside-", "x-gateway-"))]


async def test_streams_arrive_as_streams(cloud: Cloud) -> None:
    answer = await cloud.router.ask(chat(SUMS, stream=True))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.rstrip().endswith(b"data: [DONE]")
    assert answer.headers["x-vsr-selected-model"] == "gpt-4o-mini"


async def test_an_unknown_model_is_openais_404(cloud: Cloud) -> None:
    answer = await cloud.router.ask(chat("hi", "gpt-9"))
    assert answer.status == 404
    assert answer.json["error"]["code"] == "model_not_found"
    assert answer.headers["x-vsr-response-path"] == "error"
