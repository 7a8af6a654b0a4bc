"""``wayside doctor`` against servers that are well, and against everything that goes wrong.

Rows A0-35 (per backend: DNS, TCP, TLS, HTTP, the model's name) and A4-23 (a cloud provider, with
its key) of the requirements.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from tests.cli.conftest import Said, Wayside
from wayside.sim import Sim, SimModel, SimServer, TlsFiles, serve_sim

KEY = "sk-doctor-0123456789"
STEPS = ("dns", "tcp", "tls", "http", "model")
Serve = Callable[..., list[Sim]]


@pytest.fixture
def sims() -> Iterator[Serve]:
    """Simulated servers on a loop of their own, since the command blocks this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    stack = contextlib.AsyncExitStack()

    def serve(*servers: SimServer | SimModel | str) -> list[Sim]:
        found: list[Sim] = call(stack.enter_async_context(serve_sim(servers)))
        return found

    yield serve
    call(stack.aclose())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def doctor(wayside: Wayside, here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """``doctor(models, *options)`` with a key in ``DOCTOR_KEY``; no output ever shows it."""
    monkeypatch.setenv("DOCTOR_KEY", KEY)

    def run(models: dict[str, Any], *options: str) -> Said:
        (here / "wayside.yaml").write_text(yaml.safe_dump({"models": models}))
        said = wayside("doctor", *options)
        assert KEY not in said.out + said.err
        return said

    return run


def checkups(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def one(said: Said) -> tuple[str, str, str]:
    """The steps as ``o`` (ok), ``f`` (failed), ``s`` (skipped); the finding; what to do."""
    (found,) = checkups(said)
    return "".join(found["steps"][s][0] for s in STEPS), found["detail"], found["fix"]


def test_servers_that_are_well(sims: Serve, doctor: Callable[..., Said]) -> None:
    small, big = sims("small", SimModel("Qwen/Qwen3", aliases=("my-lora",)))
    models = {
        "small": {"endpoints": [small.url, f"localhost:{small.port}"]},
        "big": {
            "endpoints": [f"http://127.0.0.1:{big.port}/v1"],
            "upstream_name": "Qwen/Qwen3",
            "loras": ["my-lora"],
        },
    }
    said = doctor(models)
    assert said.status == 0 and said.err == ""
    assert "✗" not in said.out and said.out.count("serves ") == 3
    found = checkups(doctor(models, "--json"))
    assert [c["model"] for c in found] == ["big", "small", "small"], "as in the file"
    assert [c["ok"] for c in found] == [True] * 3
    assert found[0]["detail"] == "serves Qwen/Qwen3, my-lora"
    assert found[0]["took_ms"] > 0 and found[0]["steps"]["tls"] == "skipped"


def test_only_some_models_on_request(sims: Serve, doctor: Callable[..., Said]) -> None:
    (small,) = sims("small")
    models = {"small": {"endpoints": [small.url]}, "gone": {"endpoints": ["127.0.0.1:1"]}}
    assert doctor(models, "--upstream", "small").status == 0
    assert doctor(models, "--upstream", "gone").status == 1
    said = doctor(models, "--upstream", "smal")
    assert said.status == 1 and "did you mean 'small'?" in said.err


def test_a_name_that_does_not_resolve(doctor: Callable[..., Said]) -> None:
    said = doctor({"a": {"endpoints": ["http://no-such-host.invalid:8000"]}}, "--json")
    steps, detail, fix = one(said)
    assert said.status == 1 and steps == "fssss"
    assert detail.startswith("no-such-host.invalid: ") and "DNS" in fix


def test_a_port_that_nobody_listens_on(doctor: Callable[..., Said]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    said = doctor({"a": {"endpoints": [f"127.0.0.1:{port}"]}})
    assert said.status == 1
    assert "Connection refused (127.0.0.1); is the server up, and is the port right?" in said.out


def test_a_model_that_goes_by_another_name(sims: Serve, doctor: Callable[..., Said]) -> None:
    (sim,) = sims("qwen3-4b")
    steps, detail, fix = one(doctor({"qwen-4b": {"endpoints": [sim.url]}}, "--json"))
    assert steps == "oosof" and detail == "the server does not list 'qwen-4b'"
    assert fix == "set models.qwen-4b.upstream_name; did you mean 'qwen3-4b'?"
    _, _, fix = one(doctor({"big": {"endpoints": [sim.url]}}, "--json"))
    assert fix.endswith("it serves: qwen3-4b")


def test_an_adapter_that_is_not_loaded(sims: Serve, doctor: Callable[..., Said]) -> None:
    (sim,) = sims("small")
    models = {"small": {"endpoints": [sim.url], "loras": ["sql"]}}
    steps, detail, _ = one(doctor(models, "--json"))
    assert steps == "oosof" and detail == "the server does not list the adapter 'sql'"


def cloud(*keys: str, **more: Any) -> SimServer:
    return SimServer((SimModel("gpt-4o-mini"),), provider="openai", api_keys=keys, **more)


def test_a_cloud_provider_with_its_key(sims: Serve, doctor: Callable[..., Said]) -> None:
    (sim,) = sims(cloud(KEY))
    model: dict[str, Any] = {"endpoints": [sim.url], "credential": {"env": "DOCTOR_KEY"}}
    said = doctor({"gpt-4o-mini": model}, "--upstream", "gpt-4o-mini")
    assert said.status == 0 and "serves gpt-4o-mini" in said.out


def test_a_key_that_is_refused_missing_or_not_configured(
    sims: Serve, doctor: Callable[..., Said]
) -> None:
    (sim,) = sims(cloud("another"))
    model: dict[str, Any] = {"endpoints": [sim.url], "credential": {"env": "DOCTOR_KEY"}}
    steps, detail, fix = one(doctor({"gpt-4o-mini": model}, "--json"))
    assert steps == "oosfs" and detail == "GET /v1/models: 401 Unauthorized"
    assert fix == "it refuses the key that models.gpt-4o-mini.credential refers to"
    model["credential"] = {"env": "NOT_SET_ANYWHERE"}
    _, detail, _ = one(doctor({"gpt-4o-mini": model}, "--json"))
    assert "NOT_SET_ANYWHERE is empty or not set" in detail
    del model["credential"]
    _, _, fix = one(doctor({"gpt-4o-mini": model}, "--json"))
    assert fix.startswith("it wants a key: set models.gpt-4o-mini.credential")


@pytest.fixture
def tls(tmp_path: Path) -> tuple[TlsFiles, str]:
    """A server's certificate for ``models.test`` and the file of who signed it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("models.test")
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(files.cert, append=True)
    certificate.private_key_pem.write_to_path(files.key)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return files, str(tmp_path / "ca.pem")


def test_who_signed_a_certificate_matters(
    sims: Serve, doctor: Callable[..., Said], tls: tuple[TlsFiles, str]
) -> None:
    (sim,) = sims(SimServer((SimModel("a"),), tls=tls[0]))
    model: dict[str, Any] = {"endpoints": [sim.url]}
    steps, detail, fix = one(doctor({"a": model}, "--json"))
    assert steps == "oofss" and "unable to get local issuer certificate" in detail
    assert "models.a.tls.ca_file" in fix
    model["tls"] = {"ca_file": tls[1]}
    steps, detail, fix = one(doctor({"a": model}, "--json"))
    assert steps == "oofss" and "127.0.0.1" in detail and "server_name" in fix
    model["tls"]["server_name"] = "models.test"
    steps, _, _ = one(doctor({"a": model}, "--json"))
    assert steps == "ooooo"
    for text, says in ((None, "No such file"), ("not a certificate", "holds no certificate")):
        model["tls"]["ca_file"] = "other.pem"
        if text:
            Path("other.pem").write_text(text)
        steps, detail, fix = one(doctor({"a": model}, "--json"))
        assert steps == "oofss" and says in detail and "models.a.tls.ca_file" in fix


def test_https_and_http_taken_for_each_other(
    sims: Serve, doctor: Callable[..., Said], tls: tuple[TlsFiles, str]
) -> None:
    plain, secure = sims("a", SimServer((SimModel("a"),), tls=tls[0]))
    steps, _, fix = one(
        doctor({"a": {"endpoints": [f"https://127.0.0.1:{plain.port}"]}}, "--json")
    )
    assert steps == "oofss" and "really https" in fix
    steps, _, fix = one(
        doctor({"a": {"endpoints": [f"http://127.0.0.1:{secure.port}"]}}, "--json")
    )
    assert steps == "oosfs" and "without TLS" in fix


@contextlib.contextmanager
def answering(*chunks: bytes, host: str = "127.0.0.1", pause_s: float = 0.0) -> Iterator[int]:
    """A server that reads a little and says ``chunks``, with a pause before each."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):
                        client.recv(65536)
                        for chunk in chunks:
                            time.sleep(pause_s)
                            client.sendall(chunk)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    ("answer", "steps", "detail", "fix"),
    [
        (http("200 OK", b"<html>hello</html>"), "oosfs", "not a JSON object", "OpenAI-compatible"),
        (http("200 OK", b"[]"), "oosfs", "not a JSON object", "OpenAI-compatible"),
        (http("200 OK", b"[" * 100_000), "oosfs", "not a JSON object", "OpenAI-compatible"),
        (http("200 OK", b'{"data": null}'), "oosof", "does not list 'a'", "upstream_name"),
        (http("200 OK", b'{"data": [5, {"id": []}]}'), "oosof", "does not list 'a'", "(none)"),
        (http("404 Not Found", b""), "oosfs", "404 Not Found", "path in models.a.endpoints"),
        (http("302 Found", b"", "location: /login"), "oosfs", "302", "points to /login"),
        (http("500 Oh \x1b[31mno", b""), "oosfs", "500 Internal Server Error", "log"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "oosfs", "SSH", "does it speak HTTP"),
        (b"", "oosfs", "GET /v1/models: ", "does it speak HTTP"),
        (http("200 OK", b'{"data": [{"id": "%s"}]}' % KEY.encode()), "oosof", "", "***"),
    ],
)
def test_servers_that_are_something_else(
    doctor: Callable[..., Said], answer: bytes, steps: str, detail: str, fix: str
) -> None:
    with answering(answer) as port:
        model = {"endpoints": [f"127.0.0.1:{port}"], "credential": {"env": "DOCTOR_KEY"}}
        found = one(doctor({"a": model}, "--json"))
    assert found[0] == steps
    assert detail in found[1] and fix in found[2]
    assert "\x1b" not in found[1] + found[2]


@pytest.mark.parametrize("chunks", [[b"x"], [b"HTTP/1.1 200 OK\r\n", *[b"a: b\r\n"] * 40]])
def test_a_server_that_takes_too_long_is_left(
    doctor: Callable[..., Said], chunks: list[bytes]
) -> None:
    pause_s = 0.6 if len(chunks) == 1 else 0.05
    with answering(*chunks, pause_s=pause_s) as port:
        began = time.monotonic()
        said = doctor({"a": {"endpoints": [f"127.0.0.1:{port}"]}}, "--json", "--timeout", "0.3")
        assert time.monotonic() - began < 2
    steps, detail, fix = one(said)
    assert said.status == 1 and steps == "oosfs"
    assert detail == "no answer in 0.3 s" and "--timeout" in fix


def test_ipv6(doctor: Callable[..., Said]) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with answering(http("200 OK", b'{"data": [{"id": "a"}]}'), host="::1") as port:
        said = doctor({"a": {"endpoints": [f"http://[::1]:{port}"]}})
    assert said.status == 0 and f"http://[::1]:{port}" in said.out


def test_an_address_that_looks_like_markup_is_shown(doctor: Callable[..., Said]) -> None:
    said = doctor({"a": {"endpoints": ["http://[fe80::1]:1"]}}, "--timeout", "0.2")
    assert said.status == 1 and said.out.count("http://[fe80::1]:1") == 2


def test_a_model_without_endpoints_has_nothing_to_check(doctor: Callable[..., Said]) -> None:
    said = doctor({"a": {}})
    assert said.status == 0 and "a: no endpoint here" in said.err


def test_a_timeout_is_a_length_of_time(doctor: Callable[..., Said]) -> None:
    assert doctor({"a": {}}, "--timeout", "0").status == 2
