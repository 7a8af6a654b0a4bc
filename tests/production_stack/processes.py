"""Real processes: the router as people start it, and what can be asked of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LINE = re.compile(
    r"Routing request (?P<id>\S+) with session id (?P<session>\S+) to (?P<url>http\S+) "
    r"at (?P<at>[\d.]+), process time = (?P<took>\d+\.\d{4})"
)


class Process:
    """``wayside ...`` and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log
        self.url = ""

    @property
    def text(self) -> str:
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.text.splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == name]

    def routed(self) -> list[re.Match[str]]:
        """The lines that production-stack's own tests look for, as they look for them."""
        return [found for line in self.text.splitlines() if (found := LINE.search(line))]

    def went(self, count: int) -> list[str]:
        """Where the last requests went, ``count`` in all; the log is written now and then."""
        lines = eventually(lambda: found if len(found := self.routed()) >= count else None)
        assert len(lines) == count
        return [line["url"] for line in lines]

    def ask(
        self,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, Any]:
        """The status, and the answer as JSON where it is that."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, raw = error.code, error.read()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw.decode()

    def chat(
        self,
        text: str = "hi",
        model: str = "m",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> tuple[int, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 2}
        return self.ask("/v1/chat/completions", {**body, **more}, headers)


def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@contextmanager
def started(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """``wayside WORDS``, until it serves; ended with the block."""
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "wayside", *words],
            stderr=stream,
            env={**os.environ, **(env or {})},
        )
        found = Process(process, log)
        try:

            def serves() -> bool:
                assert process.poll() is None, found.text
                return bool(found.events("serving"))

            eventually(serves, 60)
            found.url = found.events("serving")[0]["url"].removesuffix("/v1")
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
