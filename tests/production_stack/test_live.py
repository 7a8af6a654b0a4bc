"""The router controller as a process, on a genuine API server, with kubectl as the only client
(A3-18 to A3-36)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Kubectl
from tests.production_stack.processes import eventually

BASES = Path(__file__).parents[2] / "deploy" / "router-controller" / "config" / "crd" / "bases"
API = "production-stack.vllm.ai/v1alpha1"
RUN = """
import wayside.resources.inference_gateway as gateways
gateways.page_of = lambda service: PAGE
from wayside.cli import main
main()
"""
"""The command; no Service of this API server leads anywhere, so gateways' pages are elsewhere."""
GPUS = b"""# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-0",Hostname="n1"} 42
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-1",Hostname="n1"} 18446744073709551615
DCGM_FI_DEV_GPU_UTIL{gpu="2",UUID="GPU-2",Hostname="n1"} NaN
DCGM_FI_DEV_GPU_UTIL{gpu="3"
"""
GATEWAY = b"""wayside_pick_cached_tokens_total{model="m"} 30
wayside_pick_prompt_tokens_total{model="m"} 40
wayside_endpoint_kv_usage{model="m",endpoint="a"} 0.5
wayside_picks_total{model="m",endpoint="a",reason="x"} 7
wayside_cache_hits_total{model="m"} 1
wayside_cache_misses_total{model="m"} 3
"""


class Pages:
    """A server of pages, that may be changed; ``hang`` answers nobody."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {"/health": b"ok"}
        self.asked: list[str] = []
        self.hang = threading.Event()
        self.url = ""


@contextlib.contextmanager
def serving() -> Iterator[Pages]:
    found = Pages()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            if found.hang.is_set():
                return
            body = found.pages.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever read enough has gone
                self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def object_of(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


class Controller:
    def __init__(self, kubectl: Kubectl, namespace: str, metrics: int) -> None:
        self._kubectl, self.namespace, self._metrics = kubectl, namespace, metrics

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self._kubectl.apply(*objects, namespace=self.namespace)

    def __call__(self, *words: str) -> str:
        return self._kubectl("-n", self.namespace, *words)

    def get(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", what, "-o", "json"))
        return found

    def conditions(self, what: str) -> dict[str, tuple[str, str, str]]:
        told = self.get(what).get("status", {}).get("conditions", ())
        return {c["type"]: (c["status"], c["reason"], c["message"]) for c in told}

    def until(self, what: str, kind: str, *wanted: str) -> tuple[str, str, str]:
        """Until the condition has this status, or status and reason."""

        def holds() -> Any:
            found = self.conditions(what).get(kind)
            return found if found and found[: len(wanted)] == wanted else None

        found: tuple[str, str, str] = eventually(holds)
        return found

    def metrics(self) -> str:
        url = f"http://127.0.0.1:{self._metrics}/metrics"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
        return ""


@pytest.fixture
def running(
    kubeconfig: Path,
    kubectl: Kubectl,
    namespace: str,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
) -> Iterator[Callable[..., contextlib.AbstractContextManager[Controller]]]:
    @contextlib.contextmanager
    def run(page: str = "", **env: str) -> Iterator[Controller]:
        kubectl("apply", "-f", f"{BASES}/")
        metrics = unused_tcp_port_factory()
        said = {
            "KUBECONFIG": str(kubeconfig),
            "KUBERNETES_NAMESPACE": namespace,
            "METRICS_ADDR": f"127.0.0.1:{metrics}",
            "HEALTH_PROBE_ADDR": "0",
            "LEADER_ELECTION_ENABLED": "false",
            **env,
        }
        with (tmp_path / "log").open("ab") as log:
            program = RUN.replace("PAGE", repr(page))
            process = subprocess.Popen(
                [sys.executable, "-c", program, "router-controller"],
                env={**os.environ, **said},
                stderr=log,
            )
        try:
            yield Controller(kubectl, namespace, metrics)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0

    yield run


def test_its_page_has_every_family_that_is_promised(running: Any) -> None:
    """A3-22 to A3-26, A3-21: of an exporter that lies about some GPUs, the others count."""
    with serving() as pages:
        others = b"".join(b'wayside_a_bucket{le="%d"} 1\n' % i for i in range(20_000))
        pages.pages |= {"/metrics": others + GPUS, "/gateway": others + GATEWAY}
        assert len(others) > 500_000  # the page of a gateway with some forty models
        with running(f"{pages.url}/gateway", GPU_METRICS_ENDPOINT=pages.url) as controller:
            route = {"model": "m", "inferenceServiceRef": "s"}
            controller.apply(
                object_of("InferenceGateway", "g", schedulingPolicy="gpu-load-aware",
                          routes=[route]),
                object_of("InferenceService", "s", modelName="m", backendRef="b"),
            )  # fmt: skip
            controller.until("inferencegateway/g", "GPUMetricsAvailable", "True")
            where = f'namespace="{controller.namespace}",resource="g"'
            wanted = [
                f'router_controller_gpu_utilization{{{where},hostname="n1",gpu="GPU-0"}} 0.42',
                f'router_controller_prefix_hit_rate{{{where},model="m"}} 0.75',
                f'router_controller_kv_cache_usage{{{where},model="m",endpoint="a"}} 0.5',
                f'router_controller_routed_requests{{{where},model="m",endpoint="a"}} 7.0',
                f"router_controller_semantic_cache_hit_rate{{{where}}} 0.25",
                'wayside_custom_resources_condition{kind="InferenceGateway"',
                'controller_runtime_reconcile_total{controller="inferencegateway"',
                "workqueue_depth",
            ]

            def missing() -> list[str]:
                said = controller.metrics().lower()
                return [line for line in wanted if line.lower() not in said]

            eventually(lambda: not missing() or None)
            assert "GPU-1" not in controller.metrics() and "GPU-2" not in controller.metrics()
            controller("delete", "inferencegateway", "g")
            eventually(lambda: "router_controller_" not in controller.metrics() or None)


def test_an_exporter_that_is_huge_is_read_in_part(running: Any) -> None:
    """A3-16, A3-21."""
    with serving() as pages:
        lines = (b'DCGM_FI_DEV_GPU_UTIL{gpu="%d"} 5\n' % i for i in range(100_000))
        pages.pages["/metrics"] = b"".join(lines)
        with running(GPU_METRICS_ENDPOINT=pages.url) as controller:
            controller.apply(
                object_of("InferenceGateway", "g", schedulingPolicy="gpu-load-aware",
                          routes=[{"model": "m", "inferenceServiceRef": "s"}]),
            )  # fmt: skip
            controller.until("inferencegateway/g", "GPUMetricsAvailable", "True")
            said = eventually(lambda: _lines(controller, "router_controller_gpu_utilization{"))
            assert len(said) == 150


def _lines(controller: Controller, start: str) -> list[str]:
    return [line for line in controller.metrics().splitlines() if line.startswith(start)]


def test_static_routes_that_want_one_config_map(running: Any) -> None:
    """A3-30, A3-36: the first has it; the other says so, and takes over when it is free. Names of
    models keep their quotes and letters, and a broken edit changes nothing until it is mended."""
    with serving() as pages, running() as controller:
        name = 'модель "q" \\ {{x}} $HOME'
        spec = {"staticBackends": pages.url, "configMapName": "shared",
                "healthCheck": {"periodSeconds": 1}}  # fmt: skip
        controller.apply(object_of("StaticRoute", "one", staticModels=name, **spec))
        controller.until("staticroute/one", "Ready", "True")
        controller.apply(object_of("StaticRoute", "two", staticModels="two", **spec))
        told = controller.until("staticroute/two", "Applied", "False")[2]
        assert "ConfigMap shared: an object of that name belongs to StaticRoute one" in told
        content = json.loads(controller.get("configmap/shared")["data"]["static_config.json"])
        assert content["static_models"] == name
        before = controller.get("staticroute/one")["status"]
        # Both lists have to go together, also where the API server does not look.
        wrong = {"spec": {"staticBackends": f"{pages.url},http://[bad"}}
        wrong["spec"]["staticModels"] = "a,b"
        controller("patch", "staticroute", "one", "--type=merge", "-p", json.dumps(wrong))
        assert (
            "spec.staticBackends[1]" in controller.until("staticroute/one", "Accepted", "False")[2]
        )
        assert controller.conditions("staticroute/one")["Ready"][0] == "False"
        now = controller.get("staticroute/one")["status"]
        assert now["lastAppliedTime"] == before["lastAppliedTime"]
        data = controller.get("configmap/shared")["data"]["static_config.json"]
        assert json.loads(data) == content
        controller("delete", "staticroute", "one")
        controller("delete", "configmap", "shared", "--ignore-not-found")
        controller.until("staticroute/two", "Ready", "True")
        data = controller.get("configmap/shared")["data"]["static_config.json"]
        assert json.loads(data)["static_models"] == "two"


def test_conditions_of_a_backend_that_hangs_and_recovers(running: Any) -> None:
    """A3-32, A3-35: no two conditions contradict at any time."""
    check = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1}
    with serving() as pages, running() as controller:
        controller.apply(object_of("StaticRoute", "r", staticBackends=pages.url,
                                   staticModels="m", healthCheck=check))  # fmt: skip
        for hangs, ready in ((False, "True"), (True, "False"), (False, "True")):
            (pages.hang.set if hangs else pages.hang.clear)()
            controller.until("staticroute/r", "Ready", ready)
            found = controller.conditions("staticroute/r")
            assert found["BackendsHealthy"][0] == found["HealthCheckSucceeded"][0] == ready
            assert found["HealthCheckFailed"][0] != ready and found["Applied"][0] == "True"
        assert set(pages.asked) == {"/health"}
