"""Every listener and every spelling of every path: no model, and no classifier, is asked for
somebody without a token (rows A2-08, A2-41)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.maas.rig import ALICE, Rig, rig
from wayside.cli.beside import Beside, beside
from wayside.cli.serve import over_http
from wayside.settings.address import parse_address

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHAT = json.dumps({"model": "auto", "text": "sum", "input": "sum", "messages": [
    {"role": "user", "content": "the sum"}]}).encode()  # fmt: skip
MODELS_PATHS = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/tokenize",
    "/rerank",
    "/v1/score",
    "/Model-B/v1/chat/completions",
    "/llm/Model-B/v1/chat/completions",
]
READING = [
    "/api/v1/classify/intent",
    "/api/v1/diagnostics/classify/intent",
    "/api/v1/eval",
    "/api/v1/routing/preview",
    "/api/v1/classify/batch",
    "/api/v1/embeddings",
    "/api/v1/similarity",
    "/info/models",
    "/info/classifier",
    "/startup-status",
    "/openapi.json",
    "/docs",
]
OPEN = {"/health", "/ready", "/.well-known/jwks.json", "/maas-api/health"}


def spellings(path: str) -> list[str]:
    first, rest = path[1], path[2:]
    return [
        path,
        f"/{path}",
        f"{path}/",
        f"/.{path}",
        f"/x/..{path}",
        f"/health/..{path}",
        f"/health/%2e%2e{path}",
        f"/maas-api/..{path}",
        f"/maas-api/v1/api-keys/x/..%2f..%2f..{path}",
        f"/%{ord(first):02x}{rest}",
        f"/%{ord(first):02X}{rest}",
        path.replace("/v1/", "%2Fv1%2F"),
        path.upper(),
        f"{path}?x=/health",
        f"{path};/health",
        f"{path}#/health",
        f"http://anything{path}",
        f"http://anything:1/{path}",
        f"HTTP://h/health/..{path}",
    ]


class Doors:
    def __init__(self, rig: Rig, ports: dict[str, int], asked: list[Any], read: list[Any]) -> None:
        self.rig, self.ports, self.asked, self.read = rig, ports, asked, read

    async def say(
        self, door: str, target: str, method: str = "POST", token: str = "", body: bytes = CHAT
    ) -> tuple[int, bytes]:
        """A request as it is written here, letter by letter."""
        shown = f"authorization: Bearer {token}\r\n" if token else ""
        head = (
            f"{method} {target} HTTP/1.1\r\nhost: x\r\n{shown}content-type: application/json\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[door])
        try:
            writer.write(head.encode() + body)
            answer = await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
        head_, _, rest = answer.partition(b"\r\n\r\n")
        return int(head_.split(b" ", 2)[1]), rest


def _free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    asked: list[Any] = []

    async def model(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            line = await reader.readline()
            if b" /metrics " not in line:  # the router's own look at its servers
                asked.append(line)
        writer.close()

    server = await asyncio.start_server(model, "127.0.0.1", 0)
    at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    routing = {
        "default_model": "Model-B",
        "signals": {"keyword": {"sums": {"keywords": ["sum"]}}},
        "decisions": [{"name": "sums", "when": "keyword:sums", "models": ["Model-B"]}],
    }
    r = rig(
        tmp_path_factory.mktemp("maas"),
        models={
            "Model-A": {"endpoints": [at], "tiers": ["enterprise"]},
            "Model-B": {"endpoints": [at], "tiers": []},
        },
        routing=routing,
        production_stack={"enabled": True, "engines": True},
        batches={"enabled": False},
    )
    read: list[Any] = []
    (signal, _) = r.app.runtime.policy.virtual["auto"].signals["keyword"]
    reading = type(signal).read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(signal), "read", lambda *a: read.append(a) or reading(*a))  # type: ignore[func-returns-value]
        ports = {"metrics": _free(), "api": _free()}
        also = Beside(*[parse_address(f"127.0.0.1:{p}") for p in ports.values()])
        async with over_http(r.app, with_api=True) as url, beside(r.app, also):
            ports["data"] = int(url.rpartition(":")[2])
            yield Doors(r, ports, asked, read)
    server.close()
    await r.app.close()


@pytest.mark.parametrize("door", ["data", "api", "metrics"])
async def test_no_spelling_asks_anything(doors: Doors, door: str) -> None:
    """Encoded, doubled, absolute, in capitals, with dots, behind what is open."""
    for path in (*MODELS_PATHS, *READING):
        for target in (
            spellings(path) if path in ("/v1/chat/completions", "/api/v1/eval") else [path]
        ):
            for method in ("POST", "GET", "HEAD", "PUT"):
                status, _ = await doors.say(door, target, method)
                assert status in (400, 401, 403, 404, 405), (door, method, target, status)
                if door != "metrics" and path == target:
                    assert status == 401, (door, method, target, status)
    assert doors.asked == [] and doors.read == []


@pytest.mark.parametrize("door", ["data", "api"])
@pytest.mark.parametrize("token", ["x" * 40, "sk-oai-a_b", "a.b.c", ALICE])
async def test_no_other_token_opens(doors: Doors, door: str, token: str) -> None:
    """Also not a person's own, which makes tokens and asks nothing."""
    for path in ("/v1/chat/completions", "/api/v1/eval", "/api/v1/classify/intent"):
        assert (await doors.say(door, path, token=token))[0] == 401
    assert doors.asked == [] and doors.read == []


@pytest.mark.parametrize("door", ["data", "api"])
async def test_probes_are_open(doors: Doors, door: str) -> None:
    for path in OPEN if door == "data" else ("/health", "/ready"):
        assert (await doors.say(door, path, "GET", body=b""))[0] == 200, path


async def test_what_clients_may_see_is_what_they_may_use(doors: Doors) -> None:
    """With a token the clients' part of the management API answers, for that caller."""
    token = await doors.rig.token()
    before = len(doors.read)
    for door in ("data", "api"):
        status, body = await doors.say(door, "/v1/models", "GET", token, b"")
        names = {item["id"] for item in json.loads(body)["data"]}
        assert status == 200 and "Model-B" in names and "Model-A" not in names
        text = json.dumps({"text": "the sum"}).encode()
        status, body = await doors.say(door, "/api/v1/eval", token=token, body=text)
        assert status == 200 and json.loads(body)["selected_model"] == "Model-B"
    assert len(doors.read) > before and doors.asked == []


async def test_two_tokens_are_none_there_too(doors: Doors) -> None:
    token = await doors.rig.token()
    status, _ = await doors.say("api", "/api/v1/eval", token=f"{token}\r\nauthorization: Bearer x")
    assert status == 401
    status, _ = await doors.say("api", "/api/v1/eval", token=f"{token}\r\nx-maas-username: root")
    assert status == 403
