"""``wayside deploy verify``: where the front door is, as a genuine API server says it, and what
is asked there. A0-35, AX-08 (a token goes to the front door alone)."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.cluster import CRDS, Kubectl
from wayside.cli import cli
from wayside.cli.deploy_intent import parse
from wayside.deploy import Check
from wayside.deploy.applying import verify
from wayside.deploy.applying.cluster import Cluster
from wayside.deploy.applying.verify import Door, front_door
from wayside.kube.kubeconfig import find_access
from wayside.vocab.errors import ConfigError

ROUTE = "route.openshift.io/v1"
GATEWAY = "gateway.networking.k8s.io/v1"


class Front(ThreadingHTTPServer):
    """Somebody in front: it notes what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.moved = ""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        self.server.asked.append({k.lower(): v for k, v in self.headers.items()})
        if self.server.moved:
            self.send_response(302)
            self.send_header("location", self.server.moved)
        elif self.path == "/junk":
            self.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        else:
            self.send_response(200)
        body = json.dumps({"model": "Model-A"}).encode()
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def front() -> Iterator[Front]:
    with Front() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    made = Cluster(find_access(str(kubeconfig)))
    yield made
    made.close()
    for _ in range(3):
        await asyncio.sleep(0)


def placed(kubectl: Kubectl, api: str, kind: str, spec: Any, status: Any, name: str = "r") -> str:
    """An object in a namespace of its own, with a status as a controller would write it."""
    where = f"v-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", where)
    made = {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": where}}
    kubectl.apply({**made, "spec": spec})
    kubectl("-n", where, "patch", f"{kind.lower()}/{name}", "--subresource=status",
            "--type=merge", "-p", json.dumps({"status": status}))  # fmt: skip
    return where


def wanted(where: str, **more: Any) -> Any:
    return parse({"name": "r", "namespace": where, "models": {"A": {"run": "simulator"}}, **more})


@pytest.fixture
def kinds(kubectl: Kubectl) -> Iterator[None]:
    """Gateways and Routes, for one test: others ask clusters that have none."""
    names = ("gateway.networking.k8s.io_gateways.yaml", "routes.crd.yaml")
    for name in names:
        if not (CRDS / name).exists():
            pytest.skip(f"shared/data/crds/{name} is not here")
    files = [arg for name in names for arg in ("-f", str(CRDS / name))]
    kubectl("apply", "--server-side", *files)
    kubectl("wait", "--for=condition=Established", *files, "--timeout=30s")
    yield
    kubectl("delete", "--wait=false", *files)


@pytest.mark.parametrize(
    "status, tls, url",
    [
        ({"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}, "edge", "https://r.example.com"),
        ({"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}, "none", "http://r.example.com"),
        ({"loadBalancer": {}}, "edge", None),
    ],
)
async def test_an_ingress(
    cluster: Cluster, kubectl: Kubectl, status: Any, tls: str, url: str | None
) -> None:
    """Once somebody serves it."""
    backend = {"service": {"name": "r", "port": {"number": 80}}}
    where = placed(kubectl, "networking.k8s.io/v1", "Ingress", {"defaultBackend": backend}, status)
    exposed = {"kind": "ingress", "host": "r.example.com", "tls": tls,
               **({"secret": "s"} if tls == "edge" else {})}  # fmt: skip
    found = await front_door(cluster, wanted(where, exposure=exposed))
    assert found == (Door(url) if url else None)


LISTENERS = [
    {"name": "raw", "port": 9000, "protocol": "TCP"},
    {"name": "web", "port": 8080, "protocol": "HTTP"},
    {"name": "safe", "port": 443, "protocol": "HTTPS", "hostname": "maas.example.com"},
    {"name": "wide", "port": 80, "protocol": "HTTP", "hostname": "*.example.com"},
]


@pytest.mark.parametrize(
    "gateway, addresses, door",
    [
        ({}, ["10.0.0.9"], Door("http://10.0.0.9:8080")),
        ({}, ["fd00::9"], Door("http://[fd00::9]:8080")),
        ({"host": "a.example.com"}, ["10.0.0.9"], Door("http://10.0.0.9:8080", "a.example.com")),
        ({"section": "safe"}, ["10.0.0.9"], Door("https://maas.example.com")),
        ({"section": "wide"}, ["lb.example.net"], Door("http://lb.example.net")),
        ({}, [], None),
    ],
)
def test_a_gateway(gateway: dict[str, str], addresses: list[str], door: Door | None) -> None:
    """The listener's port and protocol, and the host that its routes go by."""
    found = {
        "spec": {"listeners": LISTENERS},
        "status": {"addresses": [{"value": value} for value in addresses]},
    }
    intent = wanted("ns", gateway={"name": "g", **gateway}, exposure={"kind": "gateway"})
    assert verify._of_gateway(found, intent) == door


async def test_checks_go_to_the_host_behind_an_address(front: Front) -> None:
    door = Door(f"http://127.0.0.1:{front.port}", "r.example.com")
    checks = [Check(title="a", model="Model-A"), Check(title="b", path="/junk")]
    good, bad = await verify.verify(checks, door, headers={"authorization": "Bearer t"})
    assert good.ok and good.detail == "200, by Model-A"
    assert front.asked[0]["host"] == "r.example.com"
    assert not bad.ok and "does not answer" in bad.detail


async def test_a_token_does_not_follow_redirects(front: Front) -> None:
    front.moved = f"http://127.0.0.1:{front.port}/elsewhere"
    door = Door(f"http://127.0.0.1:{front.port}")
    [answer] = await verify.verify([Check(title="a")], door, headers={"authorization": "x"})
    assert not answer.ok and "answered 302" in answer.detail and len(front.asked) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8801", "http://", ""])
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"--url: .* is no address; write http"):
        await verify.verify([Check(title="a")], Door(url))


async def test_a_token_that_is_none_is_not_repeated() -> None:
    headers = {"authorization": "Bearer secret\nvalue"}
    [answer] = await verify.verify([Check(title="a")], Door("http://127.0.0.1:1"), headers=headers)
    assert not answer.ok and "secret" not in answer.detail


@pytest.mark.usefixtures("kinds")
def test_as_it_is_typed(kubectl: Kubectl, kubeconfig: Path, tmp_path: Path, front: Front) -> None:
    """From the Gateway's status to the front door: with a token, and the host of its routes."""
    spec = {"gatewayClassName": "c", "listeners": [
        {"name": "web", "port": front.port, "protocol": "HTTP"}]}  # fmt: skip
    status = {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}
    where = placed(kubectl, GATEWAY, "Gateway", spec, status, "g")
    file = tmp_path / "w.yaml"
    held = {"name": "r", "namespace": where, "target": "kubernetes",
            "models": {"Model-A": {"run": "simulator"}}, "exposure": {"kind": "gateway"},
            "gateway": {"name": "g", "host": "r.example.com"}}  # fmt: skip
    file.write_text(json.dumps(held))
    given = ["deploy", "verify", "-f", str(file), "--kubeconfig", str(kubeconfig)]
    done = CliRunner().invoke(cli, [*given, "--token-env", "TOK"], env={"TOK": "sesame"})
    assert "models are listed: 200" in done.output, done.output
    asked = front.asked[0]
    assert asked["host"] == "r.example.com" and asked["authorization"] == "Bearer sesame"
    assert "sesame" not in done.output
    junk = tmp_path / "ca.pem"
    junk.write_text("no certificate")
    done = CliRunner().invoke(cli, [*given, "--ca-file", str(junk)])
    assert done.exit_code == 2 and "--ca-file" in done.output and "PEM" in done.output
    spec = {"to": {"kind": "Service", "name": "r"}}
    admitted = {"ingress": [{"host": f"127.0.0.1:{front.port}"}]}
    where = placed(kubectl, ROUTE, "Route", {**spec, "host": "localhost"}, admitted)
    held |= {"namespace": where, "target": "openshift-split",
             "exposure": {"kind": "route", "tls": "none"}}  # fmt: skip
    del held["gateway"]
    file.write_text(json.dumps(held))
    done = CliRunner().invoke(cli, given)
    assert f"http://127.0.0.1:{front.port}\n  ok   models are listed" in done.output, done.output
