"""A real Prometheus (Debian's package) for tests: its binaries, and a server that scrapes fast."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import lacking

HERE = Path(__file__).parents[2] / "build" / "prometheus" / "usr" / "bin"
"""Where CI unpacks the package, which is then never a service."""


def binary(name: str) -> str:
    """``prometheus`` or ``promtool``; skips where there is none, fails in CI."""
    found = shutil.which(name) or shutil.which(name, path=str(HERE))
    if found is None:
        lacking(
            f"no {name}: apt-get download prometheus && dpkg -x prometheus_*.deb build/prometheus"
        )
    return found


def promtool(*args: str) -> str:
    done = subprocess.run(
        [binary("promtool"), *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A server that scrapes twice a second."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> Any:
        target = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(target, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it is not up yet
                raise
            raise AssertionError(error.read().decode()) from None

    def value(self, expression: str) -> float | None:
        """Of an expression that gives one number."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> dict[str, dict[str, str]]:
        """Alerts that fire, by name, with their labels."""
        return {
            each["labels"]["alertname"]: each["labels"]
            for each in self.get("alerts")["alerts"]
            if each["state"] == "firing"
        }


def eventually(holds: Callable[[], Any], seconds: float = 15.0) -> Any:
    """What ``holds`` gives once it is something."""
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if found := holds():
                return found
        assert time.monotonic() < ends, "not in time"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def prometheus(
    folder: Path, targets: Sequence[str], rules: Mapping[str, Any]
) -> Iterator[Prometheus]:
    """It scrapes ``targets`` (``host:port``), with ``namespace`` as a cluster would set it."""
    program, port = binary("prometheus"), free_port()
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
    scrape = {
        "job_name": "wayside",
        "static_configs": [{"targets": list(targets), "labels": {"namespace": "test"}}],
    }
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms",
                   "evaluation_interval": "200ms"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scrape],
    }  # fmt: skip
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    command = [
        program,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=error",
    ]
    env = {**os.environ, "GOMAXPROCS": "1"}
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        found = Prometheus(f"http://127.0.0.1:{port}")
        try:
            eventually(lambda: process.poll() is None and found.get("status/buildinfo"))
            yield found
        finally:
            process.kill()
            process.wait()
