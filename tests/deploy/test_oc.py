"""The stand-in for ``oc`` does what it says, and refuses what it does not do."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubelet import Cluster

from .oc import Oc, terminal

EAST, WEST = "https://api.east.example.com:6443", "https://api.west.example.com:6443"
POD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: python:3.11
          command: [python, -c, "print('up', flush=True); import http.server as s; \
s.ThreadingHTTPServer(('', 8000), s.SimpleHTTPRequestHandler).serve_forever()"]
          ports: [{containerPort: 8000}]
          readinessProbe: {tcpSocket: {port: 8000}}
"""


@pytest.fixture(scope="module")
def oc(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oc]:
    """Two clusters by their URLs; the western one is the same API server under another name."""
    folder = tmp_path_factory.mktemp("oc")
    west = folder / "west"
    west.write_text(kubeconfig.read_text().replace("localhost", "127.0.0.1"))
    with Cluster(kubeconfig, namespaces=["shop"]) as cluster:
        clusters = {EAST: kubeconfig, WEST: west}
        with terminal(folder, clusters, kubelets={EAST: cluster}, password="open") as oc:
            oc("create", "namespace", "shop")
            yield oc


def test_pods_are_reached_as_oc_reaches_them(oc: Oc) -> None:
    oc.run("oc", "apply", "-f", "-", stdin=POD)
    oc("project", "shop")
    oc("rollout", "status", "deployment/web", "--timeout=30s")
    assert oc.sh("oc exec deployment/web -c web -- cat /etc/hostname /etc/hosts | tail -1")
    failed = oc.run("oc", "exec", "deployment/web", "--", "sh", "-c", "echo no; exit 3", ok=False)
    assert failed.returncode == 3 and "no" in failed.stdout
    assert oc("logs", "-l", "app=web").strip() == "up"
    with subprocess.Popen(
        ["kubectl", "port-forward", "deployment/web", ":8000"],
        env=oc.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split("127.0.0.1:")[1].split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert answer.status == 200
        process.terminate()


def test_a_login_leads_to_another_cluster(oc: Oc) -> None:
    here = oc("whoami", "--show-server")
    assert "localhost" in here
    refused = oc.run("oc", "login", WEST, "-u", "admin", stdin="wrong\n", ok=False)
    assert refused.returncode == 1 and oc("whoami", "--show-server") == here
    oc.run("oc", "login", WEST, "-u", "admin", stdin="open\n")
    assert oc("whoami", "--show-server") != here
    assert oc("project") == 'Using project "default".\n'
    assert "no such host" in oc.run("oc", "login", "https://nowhere:6443", ok=False).stderr
    oc.run("oc", "login", EAST, "-u", "admin", stdin="open\n")
    assert oc("whoami", "--show-server") == here
    assert ["oc", "login", WEST, "-u", "admin"] in oc.calls


def test_what_is_not_played_is_refused(oc: Oc) -> None:
    refused = oc.run("oc", "adm", "policy", "add-scc-to-user", ok=False)
    assert refused.returncode == 1 and "not played" in refused.stderr
