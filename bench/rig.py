"""What every measurement needs: native tools, prompts, ports, pinned processes, one load run.

It starts and stops only its own processes, and never changes a setting of the machine.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

BENCH = Path(__file__).resolve().parent
REPO = BENCH.parent
BUILD = BENCH / ".build"
NATIVE = ("load", "backend", "noop_extproc")
MODELS = ("bench-model", "bench-small", "bench-large", "bench-math", "bench-german")
ENDPOINTS = 16

# Cores: the proxy alone on one, load and backend on the other. One core: everything shares it.
PROXY_CORE, LOAD_CORE = ("0", "1") if (os.cpu_count() or 1) > 1 else ("0", "0")
BOTH_CORES = "0,1" if LOAD_CORE == "1" else "0"


def build() -> None:
    """Compile the native tools whose source is newer than their binary."""
    BUILD.mkdir(exist_ok=True)
    for name in NATIVE:
        source, binary = BENCH / "native" / f"{name}.c", BUILD / name
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-o", str(binary), str(source)], check=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [int(sock.getsockname()[1]) for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that what was started is stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


# ---- prompts -------------------------------------------------------------------------------

# Plain English about nothing mathematical, with one of the 100 keywords ("subject57") in it, so
# that a router that decides by meaning has something to find, and something not to find.
_OPENING = "Please write a short and friendly note to our customers about subject57. "
_FILLER = (
    "The garden behind the old house was quiet in the morning, and the neighbours had left a "
    "basket of apples by the door with a letter that nobody had opened yet. "
)
# The counter makes each prompt unlike the last; the backend says whether the mark arrived.
_CLOSING = " ######## [end-of-prompt]"

PROMPTS = {"short": 60, "p250": 250, "4k": 4_000, "64k": 64_000}
"""Prompt length in characters; the request is about 150 bytes longer."""


def prompt(size: str) -> str:
    room = PROMPTS[size] - len(_CLOSING)
    if room < len(_OPENING):
        return f"A note about subject57, please.{_CLOSING}"
    text = _OPENING + _FILLER * (room // len(_FILLER) + 1)
    return text[:room] + _CLOSING


def request_body(size: str, model: str, *, stream: bool) -> bytes:
    body: dict[str, Any] = {"model": model}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    body |= {"max_tokens": 64, "messages": [{"role": "user", "content": prompt(size)}]}
    return json.dumps(body, separators=(",", ":")).encode()


def body_file(folder: Path, size: str, model: str, *, stream: bool) -> Path:
    path = folder / f"{size}-{model}-{'stream' if stream else 'plain'}.json"
    if not path.exists():
        path.write_bytes(request_body(size, model, stream=stream))
    return path


# ---- processes -----------------------------------------------------------------------------


class NotReady(Exception):
    """A target that could not be brought up; the message says why."""


@dataclass(slots=True)
class Running:
    """Processes of one target, each the leader of its own group."""

    name: str
    log: Path
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, command: list[str], *, cores: str, env: dict[str, str] | None = None) -> None:
        if shutil.which(command[0]) is None:
            raise NotReady(f"{command[0]} does not exist (python bench/compare.py --setup?)")
        with self.log.open("ab") as out:
            self.children.append(
                subprocess.Popen(
                    ["taskset", "-c", cores, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=self.log.parent,
                    env=os.environ | (env or {}),
                    start_new_session=True,
                )
            )

    def exited(self) -> int | None:
        """Exit status of the first process that ended, ``None`` while all run."""
        return next((c.returncode for c in self.children if c.poll() is not None), None)

    def stop(self) -> None:
        for how, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            for child in reversed(self.children):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, how)
            for child in self.children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(patience_s)
        self.children.clear()

    def tree(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for child in self.children:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(child.pid)
                found += [process, *process.children(recursive=True)]
        return found

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory of all processes together, and of the largest one."""
        sizes = []
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                sizes.append(process.memory_info().rss / 1e6)
        return (sum(sizes), max(sizes)) if sizes else (0.0, 0.0)

    def cpu_s(self) -> float:
        """Processor time used so far by all processes together."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def tail(self, lines: int = 2) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        said = [line.strip() for line in text.splitlines() if line.strip(" ^~")]
        return " / ".join(said[-lines:])


def ask(port: int, body: bytes) -> tuple[int, str]:
    """One request. -> status and body."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
        link.request("POST", "/v1/chat/completions", body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        link.close()


def wait_ready(running: Running, port: int, body: bytes, expect: str, patience_s: float) -> None:
    """Return when a real request gets the right answer; raise ``NotReady`` when it will not."""
    last, until = "never answered", time.monotonic() + patience_s
    while time.monotonic() < until:
        if (status := running.exited()) is not None:
            raise NotReady(f"exited with {status}: {running.tail()[-300:]}")
        try:
            code, text = ask(port, body)
            if code == 200 and expect in text and "prompt-whole" in text:
                return
            last = f"answered {code}: {text[:160]}"
        except (OSError, http.client.HTTPException) as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.2)
    raise NotReady(f"not ready in {patience_s:.0f} s; {last}; log: {running.tail()[-200:]}")


def start_backend(folder: Path) -> tuple[Running, list[int]]:
    """The fake engines: one process, :data:`ENDPOINTS` ports."""
    ports = free_ports(ENDPOINTS)
    running = Running("backend", folder / "backend.log")
    command = [str(BUILD / "backend"), *map(str, ports), "--models", ",".join(MODELS)]
    running.start(command, cores=LOAD_CORE)
    body = request_body("short", MODELS[0], stream=False)
    wait_ready(running, ports[0], body, MODELS[0], 5)
    return running, ports


@dataclass(frozen=True, slots=True)
class Clock:
    """Processor seconds so far: of the whole machine, of some processes, of ended children."""

    wall_s: float
    machine_s: float
    ours_s: float

    @classmethod
    def read(cls, *ours: Running) -> Clock:
        machine = psutil.cpu_times()
        busy = machine.user + machine.nice + machine.system + machine.steal
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # the load generator's runs
        mine = sum(running.cpu_s() for running in ours) + ended.ru_utime + ended.ru_stime
        return cls(time.monotonic(), busy, mine)

    def others(self, start: Clock) -> float:
        """Share of the machine that processes outside the comparison took since ``start``."""
        foreign = (self.machine_s - start.machine_s) - (self.ours_s - start.ours_s)
        return max(0.0, foreign / ((self.wall_s - start.wall_s) * (os.cpu_count() or 1)))


def trim_logs(folder: Path) -> None:
    """Empty the access logs under ``folder``: at 30,000 lines/s they would fill a disk."""
    for path in folder.rglob("access.log*"):
        os.truncate(path, 0)


# ---- load ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of request: its body, and what its answer must contain."""

    body: Path
    expect: tuple[str, ...]
    stream: bool = False

    def arguments(self) -> list[str]:
        texts = [part for text in self.expect for part in ("--expect", text)]
        return ["--body", str(self.body), *texts, *(["--stream"] if self.stream else [])]


def load_command(
    port: int, kinds: list[Kind], *, conns: int, seconds: float, rate: float = 0, warmup: float = 0
) -> list[str]:
    command = ["taskset", "-c", LOAD_CORE, str(BUILD / "load"), f"127.0.0.1:{port}"]
    command += ["--conns", str(conns), "--seconds", str(seconds), "--warmup", str(warmup)]
    if rate:
        command += ["--rate", str(rate)]
    return command + [part for kind in kinds for part in kind.arguments()]


def load(port: int, kinds: list[Kind], **how: Any) -> dict[str, Any]:
    """Run the load generator. -> its JSON line (see native/load.c)."""
    done = subprocess.run(
        load_command(port, kinds, **how), capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result
