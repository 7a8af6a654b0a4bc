"""The test's end of the cluster: it starts the process that plays it, and asks it for things."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster import lacking
from tests.kubelet.images import Image, defaults

ROOT = Path(__file__).parents[2]
START_S = 30.0


def fence() -> list[str]:
    """The command that gives its process mounts and process numbers of its own, in which nothing
    outlives it; skips where that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("ip") is None or shutil.which("setpriv") is None:
        lacking("no process kubelet: needs unshare, setpriv (util-linux) and ip (iproute2)")
    fenced = [unshare, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    why = ""
    for more in ([], ["--user", "--map-root-user"]):
        argv = [fenced[0], *more, *fenced[1:]]
        tried = subprocess.run(
            [*argv, "unshare", "--net", "true"], capture_output=True, text=True, check=False
        )
        if tried.returncode == 0:
            return argv
        why = tried.stderr.strip()
    lacking(f"no process kubelet: namespaces are not allowed here ({why})")


class Cluster:
    """Plays kubelet, network and controllers for the API server of ``kubeconfig``.

    ``namespaces`` are the ones it looks at (all, if there are none; :meth:`adopt` adds one).
    ``images`` are added to :func:`tests.kubelet.images.defaults`, by name without a tag.
    Probes are made ``haste`` times as often as their manifests say, and back-offs are as much
    shorter; what is killed is killed no sooner. ConfigMaps and Secrets reach volumes ``delay_s``
    after they changed. ``stand_ins`` names other people's
    controllers to play: see :mod:`tests.kubelet.stand_ins`. ``outside`` is the internet:
    ``{"api.openai.com:443": (address, port)}`` is where pods come to under that name.
    """

    def __init__(
        self,
        kubeconfig: Path,
        *,
        namespaces: Iterable[str] = (),
        images: Mapping[str, Image] | None = None,
        stand_ins: Iterable[str] = (),
        outside: Mapping[str, tuple[str, int]] | None = None,
        haste: float = 20.0,
        delay_s: float = 0.2,
    ) -> None:
        self._said = {
            "kubeconfig": str(kubeconfig),
            "namespaces": list(namespaces),
            "images": {n: asdict(i) for n, i in {**defaults(), **(images or {})}.items()},
            "stand_ins": list(stand_ins),
            "outside": dict(outside or {}),
            "haste": haste,
            "delay_s": delay_s,
        }
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        fenced = fence()
        self._folder = tempfile.TemporaryDirectory(prefix="kubelet-")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*fenced, sys.executable, "-m", "tests.kubelet"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            self._ask(**self._said, folder=self._folder.name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process is not None and self._folder is not None
        if self.process.stdin is not None:
            self.process.stdin.close()  # it ends when nobody holds the other end
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._folder.cleanup()

    @property
    def rootless(self) -> bool:
        """Nobody here may become another user: ``runAsUser`` and ``fsGroup`` do nothing."""
        return os.geteuid() != 0

    @property
    def log(self) -> Path:
        """What the cluster itself had to say."""
        assert self._folder is not None
        return Path(self._folder.name) / "kubelet.log"

    def adopt(self, namespace: str) -> None:
        """Look at this namespace, too."""
        self._ask(do="adopt", namespace=namespace)

    def forward(self, namespace: str, service: str, port: int | str) -> str:
        """A URL on this machine that leads to a Service's ready endpoints, as ``kubectl
        port-forward`` does to one of them; ``pod/NAME`` leads to a pod."""
        return str(self._ask(do="forward", namespace=namespace, service=service, port=port))

    def logs(self, namespace: str, pod: str, container: str = "") -> str:
        """What a pod's containers wrote, over all their restarts; also after the pod is gone."""
        assert self._folder is not None
        pattern = f"{namespace}_{pod}_{container or '*'}.log"
        found = sorted(Path(self._folder.name).glob(pattern))
        return "".join(path.read_text(errors="replace") for path in found)

    def exec(self, namespace: str, pod: str, *argv: str, container: str = "") -> str:
        """The output of a command in a running container; an ``AssertionError`` if it fails."""
        return str(
            self._ask(do="exec", namespace=namespace, pod=pod, argv=argv, container=container)
        )

    def signal(self, namespace: str, pod: str, number: int, container: str = "") -> None:
        """Send a signal to a container's process 1, from outside: SIGKILL is a crash, SIGSTOP
        a freeze."""
        self._ask(do="signal", namespace=namespace, pod=pod, number=number, container=container)

    def _ask(self, **what: Any) -> Any:
        assert self.process is not None and self.process.stdin and self.process.stdout
        began = time.monotonic()
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = ""
        assert line, (
            f"the cluster ended after {time.monotonic() - began:.1f} s: "
            f"{self.log.read_text()[-3000:]}"
        )
        answer = json.loads(line)
        assert "problem" not in answer, answer.get("problem")
        return answer.get("value")
