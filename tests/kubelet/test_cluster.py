"""The process kubelet does what clusters do: rollouts, addresses, files, probes, ends."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import Kubectl
from tests.kubelet import Cluster
from tests.kubelet.box import needed

SERVER = """
import http.server, os, pathlib, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = pathlib.Path(self.path)
        if self.path == "/env": body = repr(dict(os.environ)).encode()
        elif self.path == "/who": body = os.environ["HOSTNAME"].encode()
        elif path.is_file(): body = path.read_bytes()
        else: body = None
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""


def pod_spec(**more: Any) -> dict[str, Any]:
    """One container that serves its own files; ``container`` are its further fields."""
    container = {
        "name": "web",
        "image": "python:3.11",
        "args": ["-u", "-c", SERVER],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/who", "port": "http"}, "periodSeconds": 1},
        **more.pop("container", {}),
    }
    return {"containers": [container], "terminationGracePeriodSeconds": 2, **more}


def deployment(name: str, replicas: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec(**more)},
        },
    }


def service(name: str, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            **more,
        },
    }


def pod(name: str, app: str = "", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app or name}},
        "spec": pod_spec(**more),
    }


def made(kind: str, name: str, **data: str) -> dict[str, Any]:
    field = "stringData" if kind == "Secret" else "data"
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data}


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def until(holds: Callable[[], object], within_s: float = 15.0) -> None:
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, "did not become so in time"
        time.sleep(0.05)


def ready(kubectl: Kubectl, ns: str, kind: str, name: str) -> None:
    if kind == "pod":
        kubectl("-n", ns, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=20s")
    else:
        kubectl("-n", ns, "rollout", "status", f"{kind}/{name}", "--timeout=20s")


def read(kubectl: Kubectl, ns: str, *what: str) -> Any:
    return json.loads(kubectl("-n", ns, "get", *what, "-o", "json"))


def names(kubectl: Kubectl, ns: str) -> set[str]:
    return {p["metadata"]["name"] for p in read(kubectl, ns, "pods")["items"]}


def scale(kubectl: Kubectl, ns: str, name: str, replicas: int) -> None:
    """The API server of the tests has no ``scale`` for Deployments."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    kubectl("-n", ns, "patch", "deployment", name, "-p", patch)


def test_a_deployment_is_rolled_out_scaled_and_deleted(
    cluster: Cluster, kubectl: Kubectl, ns: str
) -> None:
    """New pods are ready before old ones go: nobody who asks is turned away meanwhile."""
    kubectl.apply(deployment("web", 2), service("web"), namespace=ns)
    ready(kubectl, ns, "deployment", "web")
    url = cluster.forward(ns, "web", 80)
    assert {get(f"{url}/who") for _ in range(4)} <= names(kubectl, ns)
    old = names(kubectl, ns)

    kubectl("-n", ns, "set", "env", "deployment/web", "COLOUR=blue")
    while read(kubectl, ns, "deployment", "web")["status"].get("updatedReplicas", 0) < 2:
        assert get(f"{url}/who")
    ready(kubectl, ns, "deployment", "web")
    assert "'COLOUR': 'blue'" in get(f"{url}/env")
    until(lambda: len(names(kubectl, ns)) == 2)
    assert not names(kubectl, ns) & old

    scale(kubectl, ns, "web", 3)
    ready(kubectl, ns, "deployment", "web")
    scale(kubectl, ns, "web", 0)
    until(lambda: not names(kubectl, ns))
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        get(f"{url}/who")
    kubectl("-n", ns, "delete", "deployment", "web")


def test_recreate_stops_the_old_before_it_starts_the_new(
    cluster: Cluster, kubectl: Kubectl, ns: str
) -> None:
    one = deployment("web")
    one["spec"]["strategy"] = {"type": "Recreate"}
    kubectl.apply(one, namespace=ns)
    ready(kubectl, ns, "deployment", "web")
    (old,) = names(kubectl, ns)
    kubectl("-n", ns, "rollout", "restart", "deployment/web")
    seen = {frozenset(names(kubectl, ns))}
    while read(kubectl, ns, "deployment", "web")["status"].get("readyReplicas") != 1 or (
        old in names(kubectl, ns)
    ):
        seen.add(frozenset(names(kubectl, ns)))
    assert max(map(len, seen)) == 1


def test_what_is_wrong_with_a_rollout_is_told(cluster: Cluster, kubectl: Kubectl, ns: str) -> None:
    """No account: no pods. An image that nobody has: a pod that waits, and the old one stays."""
    one = deployment("web", serviceAccountName="robot")
    one["spec"]["progressDeadlineSeconds"] = 1
    kubectl.apply(one, namespace=ns)
    kubectl(
        *("-n", ns, "wait", "deployment/web", "--timeout=10s"),
        "--for=condition=ReplicaFailure",
    )
    kubectl("-n", ns, "create", "serviceaccount", "robot")
    ready(kubectl, ns, "deployment", "web")
    (old,) = names(kubectl, ns)

    kubectl("-n", ns, "set", "image", "deployment/web", "web=nobody/has:this")
    kubectl(
        *("-n", ns, "wait", "deployment/web", "--timeout=10s"),
        "--for=condition=Progressing=false",
    )
    new = (names(kubectl, ns) - {old}).pop()
    (status,) = read(kubectl, ns, "pod", new)["status"]["containerStatuses"]
    assert status["state"]["waiting"]["reason"] == "ImagePullBackOff"
    found = read(kubectl, ns, "deployment", "web")["status"]
    assert found["availableReplicas"] == 1
    assert old in names(kubectl, ns)


def test_pods_have_addresses_and_names_of_their_own(
    cluster: Cluster, kubectl: Kubectl, ns: str
) -> None:
    """Two pods on the same port; Services by name through DNS, headless ones with their pods;
    nobody is reached through a Service until it is ready."""
    late = {"exec": {"command": ["/bin/cat", "/tmp/ready"]}, "periodSeconds": 1}
    kubectl.apply(
        pod("a", app="one"),
        pod("b", app="two", container={"readinessProbe": late}),
        service("one"),
        service("two", clusterIP="None"),
        namespace=ns,
    )
    ready(kubectl, ns, "pod", "a")

    def ask(url: str) -> str:
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read())"
        try:
            return cluster.exec(ns, "a", "python", "-c", code, url)
        except AssertionError as refused:
            return str(refused)

    until(lambda: ask("http://one/who") == "b'a'\n")
    for name in (f"one.{ns}", f"one.{ns}.svc", f"one.{ns}.svc.cluster.local", "127.0.0.1:8000"):
        assert ask(f"http://{name}/who") == "b'a'\n"
    assert "Name or service not known" in ask("http://three:8000/who")
    assert "No address associated" in ask("http://two:8000/who")

    until(lambda: "running" in str(read(kubectl, ns, "pod", "b")["status"]))
    slices = read(kubectl, ns, "endpointslices", "-l", "kubernetes.io/service-name=two")["items"]
    assert [e["conditions"]["ready"] for s in slices for e in s["endpoints"]] == [False]
    cluster.exec(ns, "b", "touch", "/tmp/ready")
    ready(kubectl, ns, "pod", "b")
    until(lambda: ask("http://two:8000/who") == "b'b'\n")
    address = read(kubectl, ns, "pod", "b")["status"]["podIP"]
    assert address in cluster.exec(ns, "a", "getent", "ahostsv4", "two")


def test_files_and_variables_come_from_objects(
    cluster: Cluster, kubectl: Kubectl, ns: str
) -> None:
    """A changed ConfigMap reaches a mounted folder, and neither a subPath nor a variable."""
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
        {
            "name": "mixed",
            "projected": {
                "sources": [
                    {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x/a"}]}},
                    {"secret": {"name": "absent", "optional": True}},
                    {
                        "downwardAPI": {
                            "items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]
                        }
                    },
                ]
            },
        },
    ]
    mounts = [
        {"name": "config", "mountPath": "/app/config", "readOnly": True},
        {"name": "config", "mountPath": "/app/config.yaml", "subPath": "a"},
        {"name": "keys", "mountPath": "/keys"},
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "mixed", "mountPath": "/app/mixed"},
    ]
    env = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {
            "name": "NONE",
            "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": True}},
        },
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "BOTH", "value": "$(A)-$(IP)-$(WHAT)-$$(A)"},
    ]
    kubectl.apply(
        pod("web", volumes=volumes, container={"volumeMounts": mounts, "env": env}), namespace=ns
    )
    until(
        lambda: (
            'configmap "settings" not found' in kubectl("-n", ns, "get", "events", "-o", "yaml")
        )
    )
    kubectl.apply(
        made("ConfigMap", "settings", a="first"),
        made("Secret", "keys", token="s3cret"),
        namespace=ns,
    )
    ready(kubectl, ns, "pod", "web")
    url = cluster.forward(ns, "pod/web", "http")
    env_seen = get(f"{url}/env")
    address = read(kubectl, ns, "pod", "web")["status"]["podIP"]
    assert "'KEY': 's3cret'" in env_seen
    assert "NONE" not in env_seen
    assert f"'BOTH': 'first-{address}-$(WHAT)-$(A)'" in env_seen
    for path, text in (
        ("/app/config/a", "first"),
        ("/app/config.yaml", "first"),
        ("/keys/token", "s3cret"),
        ("/app/mixed/x/a", "first"),
        ("/app/mixed/name", "web"),
    ):
        assert get(url + path) == text
    assert cluster.exec(ns, "web", "stat", "-L", "-c", "%a", "/keys/token") == "400\n"
    checkout = {Path(path).parts[2] for path in needed()}  # this one, where it is in /tmp
    assert set(cluster.exec(ns, "web", "ls", "/tmp").split()) <= checkout
    cluster.exec(ns, "web", "touch", "/tmp/mine")
    with pytest.raises(AssertionError, match="Read-only"):
        cluster.exec(ns, "web", "touch", "/app/config/mine")

    kubectl.apply(made("ConfigMap", "settings", a="second", b="more"), namespace=ns)
    until(lambda: get(f"{url}/app/config/a") == "second")
    assert get(f"{url}/app/config/b") == "more"
    assert get(f"{url}/app/mixed/x/a") == "second"
    assert get(f"{url}/app/config.yaml") == "first"
    assert "'A': 'first'" in get(f"{url}/env")


def test_a_container_may_do_what_its_security_context_says(
    cluster: Cluster, kubectl: Kubectl, ns: str
) -> None:
    """User, groups, capabilities and a root that cannot be written; claims outlive pods."""
    if cluster.rootless:
        pytest.skip("needs root: nobody else may become another user")
    context = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = [
        {"name": "data", "mountPath": "/data"},
        {"name": "scratch", "mountPath": "/var/log/sub"},
    ]
    volumes = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    more: Any = {
        "volumes": volumes,
        "securityContext": {"fsGroup": 2000},
        "container": {"securityContext": context, "volumeMounts": mounts},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": f"quick-{ns}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    kubectl.apply(pod("web", **more), claim, namespace=ns)
    until(lambda: "is not bound" in str(read(kubectl, ns, "pod", "web")["status"]))
    kubectl.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": f"quick-{ns}"},
            "provisioner": "process-kubelet",
        }
    )
    ready(kubectl, ns, "pod", "web")
    facts = cluster.exec(ns, "web", "sh", "-c", "id -u; id -G; cat /proc/1/status; ls /proc")
    assert facts.startswith("1000\n0 2000\n"), facts[:40]
    for name in ("CapEff", "CapBnd"):
        assert f"{name}:\t0000000000000000" in facts
    assert "NoNewPrivs:\t1" in facts
    for path in ("/x", "/usr/x", "/tmp/x", "/usr/local/bin/x"):
        with pytest.raises(AssertionError, match="Read-only"):
            cluster.exec(ns, "web", "touch", path)
    cluster.exec(ns, "web", "touch", "/data/kept", "/var/log/sub/x")
    assert cluster.exec(ns, "web", "stat", "-c", "%g", "/data/kept") == "2000\n"

    kubectl("-n", ns, "delete", "pod", "web", "--timeout=10s")
    root = {**context, "runAsUser": 0}
    kubectl.apply(
        pod("web", **{**more, "container": {"securityContext": root}}),
        pod("next", **more),
        namespace=ns,
    )
    ready(kubectl, ns, "pod", "next")
    assert "kept" in cluster.exec(ns, "next", "ls", "/data")
    assert "CreateContainerConfigError" in str(read(kubectl, ns, "pod", "web")["status"])


def test_a_container_that_dies_or_hangs_is_started_again(
    cluster: Cluster, kubectl: Kubectl, ns: str
) -> None:
    """It is unready meanwhile; one that keeps dying is started later and later."""
    alive = {"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 200}
    asked = {"httpGet": {"path": "/who", "port": 8000}, "periodSeconds": 1, "failureThreshold": 1}
    kubectl.apply(
        pod("web", container={"livenessProbe": asked, "startupProbe": alive}),
        pod("bad", container={"args": ["-c", "import sys; print('oh'); sys.exit(3)"]}),
        namespace=ns,
    )
    ready(kubectl, ns, "pod", "web")

    def restarts(name: str) -> int:
        return int(
            read(kubectl, ns, "pod", name)["status"]["containerStatuses"][0]["restartCount"]
        )

    cluster.signal(ns, "web", signal.SIGKILL)
    until(lambda: restarts("web") == 1)
    status = read(kubectl, ns, "pod", "web")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 137
    ready(kubectl, ns, "pod", "web")
    cluster.signal(ns, "web", signal.SIGSTOP)
    until(lambda: restarts("web") == 2)
    ready(kubectl, ns, "pod", "web")
    until(lambda: "CrashLoopBackOff" in str(read(kubectl, ns, "pod", "bad")["status"]))
    status = read(kubectl, ns, "pod", "bad")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert "oh\noh\n" in cluster.logs(ns, "bad")


def test_the_router_is_asked_over_grpc(cluster: Cluster, kubectl: Kubectl, ns: str) -> None:
    """``grpc.health.v1``, of the image that our manifests name, as OpenShift would run it: as a
    user whom nobody knows, without rights, on a root that cannot be written (A1-62)."""
    config = "models: {small: {endpoints: ['http://127.0.0.1:1']}}"
    container = {
        "name": "router",
        "image": "ghcr.io/vllm-project/semantic-router/extproc:latest",
        "args": ["extproc", "--config", "/app/config/config.yaml", "--listen", "0.0.0.0:50051"],
        "readinessProbe": {"grpc": {"port": 50051}, "timeoutSeconds": 5},
        "volumeMounts": [{"name": "config", "mountPath": "/app/config"}],
        "securityContext": {
            "runAsUser": 1000650000,
            "runAsGroup": 0,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    kubectl.apply(
        made("ConfigMap", "settings", **{"config.yaml": config}),
        pod("router", volumes=volumes, container=container),
        pod("deaf", container={"readinessProbe": {"grpc": {"port": 8000}}}),
        namespace=ns,
    )
    ready(kubectl, ns, "pod", "router")
    found = read(kubectl, ns, "pod", "deaf")["status"]["containerStatuses"][0]
    assert "running" in found["state"]
    assert not found["ready"]


def test_pods_end_in_order(cluster: Cluster, kubectl: Kubectl, ns: str) -> None:
    """Init containers one after another, then preStop, SIGTERM and SIGKILL."""
    share = [{"name": "share", "mountPath": "/share"}]
    inits = [
        {
            "name": f"init-{i}",
            "image": "busybox",
            "command": ["sh", "-c", f"echo {i} >> /share/order"],
            "volumeMounts": share,
        }
        for i in (1, 2)
    ]
    stubborn = "import signal, time; signal.signal(15, lambda *_: print('no')); time.sleep(60)"
    before = {"preStop": {"exec": {"command": ["sh", "-c", "echo bye > /proc/1/fd/1"]}}}
    kubectl.apply(
        pod(
            "web",
            initContainers=inits,
            volumes=[{"name": "share", "emptyDir": {}}],
            terminationGracePeriodSeconds=1,
            container={
                "args": ["-u", "-c", stubborn + "; time.sleep(60)"],
                "volumeMounts": share,
                "readinessProbe": None,
                "lifecycle": before,
            },
        ),
        pod(
            "once",
            restartPolicy="Never",
            container={"args": ["-c", "print('done')"], "readinessProbe": None},
        ),
        namespace=ns,
    )
    ready(kubectl, ns, "pod", "web")
    assert cluster.exec(ns, "web", "cat", "/share/order") == "1\n2\n"
    until(lambda: cluster.exec(ns, "web", "grep", "SigCgt", "/proc/1/status")[-5] != "0")
    began = time.monotonic()
    kubectl("-n", ns, "delete", "pod", "web", "--timeout=10s")
    assert time.monotonic() - began >= 1
    assert cluster.logs(ns, "web") == "bye\nno\n"
    until(lambda: read(kubectl, ns, "pod", "once")["status"]["phase"] == "Succeeded")


def test_the_api_server_is_there_for_pods(cluster: Cluster, kubectl: Kubectl, ns: str) -> None:
    """With the token of their service account, and its rights: none."""
    kubectl("-n", ns, "create", "serviceaccount", "robot")
    ask = """
import asyncio
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.vocab.resource import PODS

async def ask():
    access = find_access()
    print(len((await Client(access).list(PODS, access.namespace))[0]))

asyncio.run(ask())
"""
    kubectl.apply(pod("web", serviceAccountName="robot"), namespace=ns)
    ready(kubectl, ns, "pod", "web")
    with pytest.raises(AssertionError, match=f"403.*serviceaccount:{ns}:robot"):
        cluster.exec(ns, "web", "python", "-c", ask)


def test_nothing_is_left(kubeconfig: Path, kubectl: Kubectl, namespace: str) -> None:
    """After the end, and after it was killed: no process, no mount, no pod that cannot go."""
    for number in (0, signal.SIGKILL):
        name = f"web-{number}"
        with Cluster(kubeconfig, namespaces=[namespace]) as cluster:
            kubectl.apply(pod(name), namespace=namespace)
            ready(kubectl, namespace, "pod", name)
            assert cluster.process is not None
            family = _family(cluster.process.pid)
            assert len(family) > 2
            if number:
                os.kill(cluster.process.pid, number)
                cluster.process.wait()
            folder = cluster.log.parent
        until(partial(_all_dead, family))
        assert str(folder) not in Path("/proc/self/mounts").read_text()
        assert not folder.exists()
        if not number:
            kubectl("-n", namespace, "delete", "pod", name, "--timeout=10s")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _all_dead(pids: list[int]) -> bool:
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            return False
    return True
