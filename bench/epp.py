"""Requests per second and core of ``wayside epp``, on the request sizes of the spec's 3.11.

A client speaks ext_proc as Envoy does (HTTP/2, TLS, FULL_DUPLEX_STREAMED, chunks of 64 KiB) to a
picker that chooses among ten simulated servers by prefix, queue and KV cache, and reads their
metrics every 50 ms. What counts is the processor time that the picker's process took, so that a
slow client, or others on the machine, do not: requests per core = requests / processor seconds.
Its idle share (reading metrics) is measured first and told apart.

    OMP_NUM_THREADS=1 nice -n 15 .venv/bin/python bench/epp.py [--seconds 3] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import platform
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from wayside.extproc import wire
from wayside.extproc.calls import PROCESS, literal
from wayside.extproc.h2 import DATA, HEADERS, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame

PODS = 10
STREAMS = 32
CHUNK = 64 << 10
SIZES = {"200 tokens": 800, "1k tokens": 4_000, "10k tokens": 40_000, "220 KB": 220_000,
         "100k tokens": 400_000}  # fmt: skip
GO = {
    "200 tokens": "461-485 a replica; 500 at 4.9 cores: 102 a core",
    "220 KB": "129 a replica",
    "100k tokens": "1-2 a core (98.7 at 35-46.5 cores)",
}
"""Published figures of the reference picker (spec 3.11)."""
CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weight: 2},
            {pluginRef: kv-cache-utilization-scorer, weight: 2},
            {pluginRef: prefix-cache-scorer, weight: 3}]
"""
MARK = b"########"


# ---- what is said ---------------------------------------------------------------------------


def _grpc(payload: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(payload)) + payload


def _headers(phase: int, pairs: dict[str, str]) -> bytes:
    entries = b"".join(
        wire.field(1, wire.field(1, k.encode()) + wire.field(3, v.encode()))
        for k, v in pairs.items()
    )
    config = wire.field(11, wire.flag(1, 4) + wire.flag(2, 4)) if phase == 2 else b""
    return _grpc(wire.field(phase, wire.field(1, entries)) + config)


def _bodies(phase: int, body: bytes) -> list[bytes]:
    cuts = range(0, len(body), CHUNK)
    return [
        _grpc(wire.field(phase, wire.field(1, body[i : i + CHUNK])
                         + (b"\x10\x01" if i == cuts[-1] else b"")))
        for i in cuts
    ]  # fmt: skip


OPEN = b"\x83\x87" + literal(b":path", PROCESS) + literal(b":authority", b"picker")
OPEN += literal(b"te", b"trailers") + literal(b"content-type", b"application/grpc")
REQUEST = {
    ":method": "POST", ":scheme": "https", ":authority": "api.example.com",
    ":path": "/v1/chat/completions", "user-agent": "OpenAI/Python 1.99.0",
    "accept": "application/json", "content-type": "application/json",
    "authorization": "Bearer sk-0123456789abcdef", "x-forwarded-for": "10.1.2.3",
    "x-forwarded-proto": "https", "x-request-id": "6f1c8f1e-0a0b-4c1d-9e0f-1a2b3c4d5e6f",
    "x-selected-model": "llama3-8b", "x-llm-d-inference-objective": "standard",
}  # fmt: skip
ANSWER_HEADERS = {":status": "200", "content-type": "application/json", "server": "uvicorn",
                  "date": "Sat, 21 Nov 2026 17:00:00 GMT"}  # fmt: skip
ANSWER = json.dumps({
    "id": "chatcmpl-1", "object": "chat.completion", "model": "llama3-8b",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "word " * 100}}],
    "usage": {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300},
}).encode()  # fmt: skip


@dataclass
class Script:
    """What one request says, with a mark that makes each prompt another one."""

    size: int
    warm: bool
    messages: list[bytes] = field(default_factory=list)
    replies: int = 0

    def __post_init__(self) -> None:
        words = b"The quick brown fox jumps over the lazy dog again. "
        text = (words * (self.size // len(words) + 1))[: self.size - len(MARK)]
        text = text + MARK if self.warm else MARK + text
        body = b'{"model":"llama3-8b","messages":[{"role":"user","content":"%b"}],' % text
        body += b'"max_tokens":100}'
        self.messages = [_headers(2, REQUEST), *_bodies(4, body)]
        self.replies = 1 + -(-len(body) // wire.CHUNK)

    def asked(self, sid: int, number: int) -> bytes:
        mark = b"%08x" % number
        out = [frame(HEADERS, 4, sid, OPEN)]
        for message in self.messages:
            out += _data(sid, message.replace(MARK, mark))
        return b"".join(out)


def _data(sid: int, message: bytes) -> list[bytes]:
    """DATA frames of 16 KiB, as Envoy sends to a peer whose frames may be larger."""
    return [frame(DATA, 0, sid, message[i : i + 16384]) for i in range(0, len(message), 16384)]


ANSWERED = _headers(3, ANSWER_HEADERS) + _bodies(5, ANSWER)[0]


class Client:
    """One connection, and as many requests at once as :data:`STREAMS`."""

    def __init__(self, port: int, script: Script, *, answers: bool) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(plain)
        window = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, (1 << 31) - 1))
        self.sock.sendall(
            PREFACE + window + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 65536))
        )
        self.script, self.answers = script, answers
        self.heard: dict[int, bytearray] = {}
        self.phase: dict[int, int] = {}
        self.next, self.done, self.rest = 1, 0, b""
        self.out: list[bytes] = []

    def run(self, until: float) -> int:
        """Requests finished by then, since the beginning."""
        # What is under way has to fit the sockets' buffers: this client writes before it reads.
        for _ in range((STREAMS if self.script.size < 100_000 else 4) - len(self.heard)):
            self._begin()
        while time.monotonic() < until:
            if self.out:
                self.sock.sendall(b"".join(self.out))
                self.out.clear()
            self._hear(self.sock.recv(1 << 18))
        return self.done

    def _begin(self) -> None:
        sid = self.next
        self.next += 2
        self.heard[sid] = bytearray()
        self.phase[sid] = 0
        self.out.append(self.script.asked(sid, sid))

    def _hear(self, data: bytes) -> None:
        if not data:
            raise RuntimeError("the picker closed the connection")
        data = self.rest + data
        at = 0
        while len(data) - at >= 9:
            size = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + size:
                break
            kind, flags = data[at + 3], data[at + 4]
            sid = int.from_bytes(data[at + 5 : at + 9], "big")
            if kind == DATA and sid in self.heard:
                self.heard[sid] += data[at + 9 : at + 9 + size]
                self._advance(sid)
            elif (kind == HEADERS and flags & 1) or kind == RST_STREAM:
                self._end(sid)
            at += 9 + size
        self.rest = data[at:]

    def _advance(self, sid: int) -> None:
        """Say the answer once the request's replies are there, and hang up after its own."""
        buffer, count = self.heard[sid], 0
        at = 0
        while len(buffer) - at >= 5:
            size = int.from_bytes(buffer[at + 1 : at + 5], "big")
            if len(buffer) - at < 5 + size:
                break
            count += 1
            at += 5 + size
        if self.phase[sid] == 0 and count >= self.script.replies and self.answers:
            self.phase[sid] = 1
            self.out += _data(sid, ANSWERED)
        if self.phase[sid] == 1 and count >= self.script.replies + 2:
            self.phase[sid] = 2
            self.out.append(frame(DATA, 1, sid))

    def _end(self, sid: int) -> None:
        if self.heard.pop(sid, None) is not None:
            if self.phase.pop(sid) != (2 if self.answers else 0):
                raise RuntimeError("a stream ended before its time")
            self.done += 1
            self._begin()


# ---- who is measured ------------------------------------------------------------------------


def free_ports(count: int) -> list[int]:
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [int(sock.getsockname()[1]) for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def start(folder: Path, phases: str, pods: list[int]) -> tuple[subprocess.Popen[str], int]:
    (folder / "picker.yaml").write_text(CONFIG)
    command = [
        sys.executable, "-m", "wayside", "epp", "--config-file", str(folder / "picker.yaml"),
        "--endpoints", ",".join(f"127.0.0.1:{p}" for p in pods), "--host", "127.0.0.1",
        "--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0",
        "--drain-timeout", "0s", f"--response-phases={phases}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    if '"event":"serving"' not in line:
        raise RuntimeError(line)
    return process, int(json.loads(line)["grpc"])


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(
    process: psutil.Process, port: int, script: Script, *, answers: bool, seconds: float
) -> float:
    """Requests per processor second."""
    client = Client(port, script, answers=answers)
    client.run(time.monotonic() + seconds / 4)  # warm
    before, began = client.done, cpu_s(process)
    client.run(time.monotonic() + seconds)
    rate = (client.done - before) / max(0.001, cpu_s(process) - began)
    client.sock.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    sims = subprocess.Popen(
        [sys.executable, "-c", _SIMS.format(count=PODS)], stdout=subprocess.PIPE, text=True
    )
    assert sims.stdout is not None
    pods = [int(p) for p in sims.stdout.readline().split()]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"{PODS} servers, {STREAMS} requests at once, best of {given.repeats}")  # fmt: skip
    print(f"{'request':12} {'answers':8} {'prefix':6} {'req/s a core':>12}   reference (Go)")
    try:
        with tempfile.TemporaryDirectory() as name:
            for phases in ("all", "needed"):
                process, port = start(Path(name), phases, pods)
                watched = psutil.Process(process.pid)
                try:
                    time.sleep(1)
                    idle, began = cpu_s(watched), time.monotonic()
                    time.sleep(2)
                    share = (cpu_s(watched) - idle) / (time.monotonic() - began)
                    print(f"{'(idle)':12} {phases:8} {'':6} {share:11.1%}   of a core")
                    for size, length in SIZES.items():
                        for warm in (True, False):
                            script = Script(length, warm)
                            best = max(
                                measure(watched, port, script, answers=phases == "all",
                                        seconds=given.seconds)
                                for _ in range(given.repeats)
                            )  # fmt: skip
                            kind = "warm" if warm else "cold"
                            print(f"{size:12} {phases:8} {kind:6} {best:12.0f}   "
                                  f"{GO.get(size, '')}", flush=True)  # fmt: skip
                    rss = watched.memory_info().rss / 2**20
                    print(f"{'(memory)':12} {phases:8} {'':6} {rss:10.0f} MiB")
                finally:
                    process.terminate()
                    process.wait()
    finally:
        sims.terminate()
        sims.wait()


_SIMS = """
import asyncio, sys
from wayside.sim import SimModel, SimServer, serve_sim
async def main():
    servers = [SimServer((SimModel("llama3-8b"),)) for _ in range({count})]
    async with serve_sim(servers) as sims:
        print(*[s.url.rpartition(":")[2] for s in sims], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""

if __name__ == "__main__":
    main()
