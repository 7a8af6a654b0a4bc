"""Several workers on one port, as real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wayside.cli.workers import summed


class Router:
    """``wayside serve --workers 2`` with its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    def events(self, name: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line]
        return [line for line in lines if line["event"] == name]

    def get(self, url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=5) as response:
            body: bytes = response.read()
            return body

    def url(self) -> str:
        return str(next(e["url"] for e in self.events("serving") if "workers" in e))

    def management(self) -> str:
        return str(self.events("management")[0]["url"])

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


def eventually(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    config = tmp_path / "wayside.yaml"
    config.write_text(
        "listen: {port: 0}\n"
        "management: {port: 0}\n"
        "models: {small: {endpoints: [http://127.0.0.1:9]}}\n"
    )
    log = tmp_path / "log"
    command = [sys.executable, "-m", "wayside", "serve", "--workers", "2", "-c", str(config)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env={**os.environ})
        found = Router(process, log)
        try:
            eventually(lambda: process.poll() is None and found.events("management"))
            yield found
        finally:
            process.terminate()
            process.wait(timeout=20)


def test_metrics_are_added_up_and_a_dead_worker_is_replaced(router: Router) -> None:
    eventually(lambda: any("workers" in e for e in router.events("serving")))
    for _ in range(20):
        assert b'"object":"list"' in router.get(f"{router.url()}/models")

    def served() -> float:
        text = router.get(f"{router.management()}/metrics").decode()
        counts = re.findall(r'wayside_requests_total\{.*status="200".*\} (\S+)', text)
        return sum(map(float, counts))

    assert served() == 20
    first, second = router.workers()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(router.workers()) == 2 and first not in router.workers())
    assert second in router.workers()
    (death,) = router.events("worker died")
    assert death["status"] == -signal.SIGKILL

    def ready() -> bool:
        try:
            return bool(json.loads(router.get(f"{router.management()}/ready"))["ready"])
        except OSError:  # 503 until the new worker answers
            return False

    eventually(ready)
    for _ in range(5):
        assert b'"object":"list"' in router.get(f"{router.url()}/models")

    router.process.terminate()
    assert router.process.wait(timeout=20) == 0


def test_sums_of_counters_and_histograms_and_the_smallest_of_states() -> None:
    one = b"""# TYPE wayside_requests_total counter
wayside_requests_total{model="a"} 2
# TYPE wayside_config_generation gauge
wayside_config_generation 3
# TYPE t histogram
t_bucket{le="1.0"} 1
t_bucket{le="+Inf"} 2
t_sum 1.5
t_count 2
"""
    two = one.replace(b'{model="a"} 2', b'{model="a"} 5').replace(b"generation 3", b"generation 2")
    text = summed([one, two]).decode()
    assert 'wayside_requests_total{model="a"} 7.0' in text
    assert "wayside_config_generation 2.0" in text
    assert 't_bucket{le="+Inf"} 4.0' in text and "t_sum 3.0" in text
