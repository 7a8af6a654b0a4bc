"""Where a program finds as little as a hardened pod gives it: a user without a name, a root that
cannot be written, no ``/tmp``, no home, and a network of its own with ``::1`` and nothing else.

Needs root (CI has it): users, mounts and networks are the kernel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest

USER = 1_000_730_000
"""As OpenShift gives them: in no passwd, of group 0."""
_CLONE_NEWNET = 0x40000000
_NEEDED = ("unshare", "setpriv", "ip", "mount", "prlimit")
_MOUNTS = """\
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
for path in $1; do case $path in /root*)
  if ! mountpoint -q /root; then
    mkdir /run/root; mount --bind /root /run/root
    mount -t tmpfs -o mode=755 none /root
  fi
  mkdir -p "$path"; mount --bind "/run$path" "$path";;
esac; done
case " $1 " in *" /tmp"*) ;; *) mount -t tmpfs -o mode=755 none /tmp;; esac
for path in /var/tmp /dev/shm; do mount -t tmpfs -o mode=755 none $path; done
for path in / /tmp /var/tmp /dev/shm /root /run /work; do
  ! mountpoint -q $path || mount -o remount,bind,ro $path
done
shift
exec "$@"
"""


def missing() -> str:
    """Why there can be no jail here; empty where there can."""
    lacks = [name for name in _NEEDED if shutil.which(name) is None]
    if lacks:
        return f"no {', '.join(lacks)}: apt-get install util-linux iproute2"
    return "" if os.geteuid() == 0 else "only root makes networks and users: run it as root"


needs_jail = pytest.mark.skipif(bool(missing()), reason=missing() or "there is everything")


class Jail:
    """One network with ``::1`` alone; programs in it, and connections from the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._thread = ThreadPoolExecutor(1, initializer=_leave)
        for command in ("link set lo up", "addr del 127.0.0.1/8 dev lo"):
            self.inside(lambda c=command: subprocess.run(["ip", *c.split()], check=True))

    def inside(self, call: Callable[[], Any]) -> Any:
        """What ``call`` returns in that network."""
        return self._thread.submit(call).result()

    def close(self) -> None:
        self._thread.shutdown()

    def free_port(self) -> int:
        with self.listening() as probe:
            return int(probe.getsockname()[1])

    def listening(self) -> socket.socket:
        """A bound socket of ``::1`` in there."""
        made: socket.socket = self.inside(lambda: socket.socket(socket.AF_INET6))
        made.bind(("::1", 0))
        return made

    def session(self) -> aiohttp.ClientSession:
        """A client in there."""

        def make(info: Any) -> socket.socket:
            made: socket.socket = self.inside(lambda: socket.socket(*info[:3]))
            made.setblocking(False)
            return made

        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=make))

    def command(self, *program: str, limits: tuple[str, ...] = ()) -> list[str]:
        """``program`` as that user, with no right and nothing to write to; ``limits`` are those
        of ``prlimit``."""
        places = {str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix}
        places |= {str(Path(sys.executable).resolve().parents[1])}
        person = ["setpriv", f"--reuid={USER}", "--regid=0", "--clear-groups", "--inh-caps=-all"]
        person += ["--bounding-set=-all", "--no-new-privs"]
        bounded = ["prlimit", *limits, "--"] if limits else []
        return [
            *("unshare", "--mount", "--ipc", "sh", "-c", _MOUNTS, "sh", " ".join(sorted(places))),
            *(*bounded, *person, *program),
        ]

    def start(
        self,
        *program: str,
        log: str = "log",
        limits: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> Jailed:
        """Run it; what it says goes to the file ``log``."""
        given = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
        path = self.folder / log
        with path.open("wb") as out:
            process = self.inside(
                lambda: subprocess.Popen(
                    self.command(*program, limits=limits),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**given, **(env or {})},
                    cwd="/",
                    start_new_session=True,
                )
            )
        return Jailed(process, path)

    def wayside(self, *arguments: str, **more: Any) -> Jailed:
        """The same, of one of ours."""
        return self.start(sys.executable, "-m", "wayside", *arguments, **more)


class Jailed:
    """A program in a jail."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    @property
    def text(self) -> str:
        return self._log.read_text("utf-8", "replace")

    async def says(self, words: str, within_s: float = 30.0) -> None:
        """Returns when its log has these words."""
        try:
            async with asyncio.timeout(within_s):
                while words not in self.text:
                    assert self.process.poll() is None, f"it ended: {self.text}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"no {words!r}: {self.text[-3000:]}") from None

    async def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; its exit status."""
        self.process.terminate()
        return await self.ends(within_s)

    async def ends(self, within_s: float = 20.0) -> int:
        """Its exit status; killed when it takes longer."""
        try:
            return await asyncio.to_thread(self.process.wait, within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)
            raise

    def memory_mib(self, what: str = "VmHWM") -> float:
        """The most that it has held at once (``VmHWM``), or holds (``VmRSS``)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        raise AssertionError("it is gone")


def _leave() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


@contextlib.contextmanager
def jail() -> Iterator[Jail]:
    """One that is gone afterwards; its folder can be read by everybody."""
    beside = Path(__file__).parents[2] / ".pytest_cache"  # not in /tmp, which it does not have
    beside.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="jail-", dir=beside))
    folder.chmod(0o755)
    made = Jail(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def running(jailed: Jailed) -> AsyncIterator[Jailed]:
    """It is ended afterwards."""
    try:
        yield jailed
    finally:
        if jailed.process.poll() is None:
            jailed.process.kill()
            await asyncio.to_thread(jailed.process.wait)
