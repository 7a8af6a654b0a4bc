"""A stand-in for ``oc``, OpenShift's client: kubectl, and the few verbs that only ``oc`` has.

What it adds to the real kubectl, and how far that goes:

* ``login``, ``whoami``, ``project``, ``new-project``: of the clusters that it is told of. A login
  takes the place of the session's kubeconfig; nobody checks a password unless one is expected.
* ``exec``, ``logs``, ``port-forward``: the API server of the tests has no kubelet to call, so the
  process kubelet is asked instead, through a socket of the test.
* ``adm``, ``new-build``, ``start-build``, ``process``, ``expose``: refused by name.

``kubectl`` in the same folder is the same program without the first group. Every call is written
down (:attr:`Oc.calls`), with what was in its arguments: that is where a secret must not be.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import lacking
from tests.kubelet import Cluster

PROGRAM = Path(__file__).with_name("oc_program.py")
ROOT = Path(__file__).parents[2]
_ENDED = re.compile(r"exit status (\d+): ", re.DOTALL)


class Oc:
    """Somebody at a terminal, whose ``oc`` and ``kubectl`` are these, and whose kubeconfig is a
    file of his own."""

    def __init__(self, folder: Path, clusters: Mapping[str, Path], **more: str) -> None:
        self.folder, self.kubeconfig = folder, folder / "session"
        self._log = folder / "calls"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "OPENSHIFT"))},
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(self.kubeconfig),
            **more,
        }
        self.use(next(iter(clusters.values())))

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call so far, the program's name first."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def forget(self) -> None:
        """Forget the calls so far."""
        self._log.unlink(missing_ok=True)

    def use(self, kubeconfig: Path) -> None:
        """Be logged in to this cluster."""
        shutil.copyfile(kubeconfig, self.kubeconfig)

    def run(
        self,
        *argv: str,
        cwd: Path | None = None,
        stdin: str = "",
        ok: bool = True,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """A program with these as its ``oc`` and ``kubectl``. A failure is an ``AssertionError``
        with what it said, unless it may fail."""
        done = subprocess.run(
            argv,
            cwd=cwd or ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            env={**self.env, **(env or {})},
            timeout=timeout_s,
        )
        assert not ok or done.returncode == 0, (
            f"{' '.join(argv)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def sh(self, script: str, *, cwd: Path | None = None) -> str:
        """The output of lines of a guide, as a shell reads them that ends with the first error."""
        return self.run("bash", "-euo", "pipefail", "-c", script, cwd=cwd).stdout

    def __call__(self, *argv: str) -> str:
        return self.run("oc", *argv).stdout


@contextlib.contextmanager
def terminal(
    folder: Path,
    clusters: Mapping[str, Path],
    *,
    kubelets: Mapping[str, Cluster] | None = None,
    password: str = "",
    oc: bool = True,
) -> Iterator[Oc]:
    """A terminal with ``oc`` (unless there is none) and ``kubectl`` on its PATH.

    ``clusters``: the URL that ``oc login`` is given, and that cluster's kubeconfig; the first one
    is logged in to already. ``kubelets``: the same URLs, and who plays the pods there.
    ``password``: the one that ``oc login -u`` wants.
    """
    program = shutil.which("kubectl")
    if program is None:
        lacking("kubectl is not installed (apt-get install kubernetes-client)")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bin").mkdir()
    for name in ("oc", "kubectl") if oc else ("kubectl",):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{PROGRAM}" {name} "$@"\n')
        script.chmod(0o755)
    servers = {_server(path): url for url, path in clusters.items()}
    about = {
        "kubectl": program,
        "clusters": {url: str(path) for url, path in clusters.items()},
        "password": password,
        "socket": str(folder / "kubelet.sock"),
        "log": str(folder / "calls"),
    }
    (folder / "about").write_text(json.dumps(about))
    with _answering(folder / "kubelet.sock", servers, kubelets or {}):
        yield Oc(folder, clusters, OC_STAND_IN=str(folder / "about"))


def _server(kubeconfig: Path) -> str:
    """The API server's URL."""
    return str(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])


@contextlib.contextmanager
def _answering(
    path: Path, servers: Mapping[str, str], kubelets: Mapping[str, Cluster]
) -> Iterator[None]:
    """Questions of the programs, each a line of JSON, to the kubelet of their cluster."""
    lock = threading.Lock()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            said = json.loads(self.rfile.readline())
            cluster = kubelets.get(servers.get(said.pop("server"), ""))
            try:
                assert cluster is not None, "nobody plays the pods of this cluster"
                with lock:
                    answer: dict[str, Any] = {"output": _do(cluster, **said)}
            except AssertionError as error:
                ended = _ENDED.search(str(error))
                answer = {"code": int(ended[1]) if ended else 1, "output": str(error)}
                if ended:
                    answer["output"] = str(error)[ended.end() :]
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _do(
    cluster: Cluster, *, do: str, namespace: str, name: str, rest: Sequence[str], container: str
) -> str:
    if do == "exec":
        return cluster.exec(namespace, name, *rest, container=container)
    if do == "logs":
        return cluster.logs(namespace, name, container)
    port = rest[0]
    return cluster.forward(namespace, name, int(port) if port.isdigit() else port)
