"""One container: a process in a root, process numbers and mounts of its own, restarted as its pod
says, and asked how it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.kubelet.box import BOX, Box
from tests.kubelet.images import Image, name_of
from tests.kubelet.net import Network
from tests.kubelet.probes import ask
from tests.kubelet.volumes import Given, NotYet, expand
from tests.kubelet.world import now
from wayside.kube.client import Object

BACK_OFF_S = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
"""As the kubelet waits, before haste."""
FORK = 'exec 3>&1 4>&2 >/dev/null 2>&1; /bin/sh "$@"; exit $?'
"""The first process that is born after ``unshare --pid`` is process 1. (``unshare --fork`` would
do it, but loses the exit status of one that was killed; and a shell talks about such deaths.)"""


class Container:
    """Its state is that of ``status.containerStatuses``; ``tell`` is called when it changes."""

    def __init__(
        self,
        spec: Object,
        pod: Object,
        given: Given,
        *,
        images: Mapping[str, Image],
        network: Network,
        folder: Path,
        log: Path,
        haste: float,
        tell: Callable[[], None],
    ) -> None:
        self.spec, self.name, self.ready, self.started = spec, spec["name"], False, False
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self._pod, self._given, self._images, self._network = pod, given, images, network
        self._folder, self._log, self._haste, self._tell = folder, log, haste, tell
        self._box = Box(spec, pod, given)
        self._last: Object = {}
        self._restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._ending = self._up = False
        """``_up``: its root is made and its program is running."""

    def status(self) -> Object:
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": self.spec["image"],
            "ready": self.ready,
            "started": self.started,
            "restartCount": self._restarts,
            "state": self.state,
            "lastState": self._last,
        }

    async def run(self, policy: str) -> int:
        """Run it, and again as ``policy`` says; the last exit status. Returns once it is over."""
        tries = 0
        while True:
            began = time.monotonic()
            try:
                code = await self._once()
            except NotYet as problem:
                self._wait(problem.reason, problem.message)
                await asyncio.sleep(0.1)
                continue
            if self._ending or policy == "Never" or (policy == "OnFailure" and not code):
                return code
            if time.monotonic() - began > 2 * BACK_OFF_S[-1] / self._haste:
                tries = 0
            self._last = self.state
            if tries:
                self._wait("CrashLoopBackOff", f"back-off restarting container {self.name}")
                await asyncio.sleep(BACK_OFF_S[min(tries, len(BACK_OFF_S)) - 1] / self._haste)
            tries, self._restarts = tries + 1, self._restarts + 1

    async def stop(self, grace_s: float) -> None:
        """preStop, SIGTERM to process 1, and SIGKILL ``grace_s`` after the beginning."""
        self._ending = True
        await self._end(grace_s)

    async def execute(self, argv: list[str]) -> tuple[int, str]:
        """A command within the container: its exit status, and all it wrote."""
        first = self.first()
        if first is None or not self._up:
            return 128, "the container is not running"
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--target={first}", "--mount", "--net", "--pid", "--root", "--wd"),
            *self._box.person(self._image()),
            *argv,
            env=self._environment(self._image()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace")

    def first(self) -> int | None:
        """The container's process 1, by our number."""
        if self._process is None or self._process.returncode is not None:
            return None
        pid = self._process.pid
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return int(children[0]) if children else None
        return None

    def _wait(self, reason: str, message: str) -> None:
        state = {"waiting": {"reason": reason, "message": message}}
        if self.state != state:
            self.state, self.ready, self.started = state, False, False
            self._tell()

    def _image(self) -> Image:
        image = self._images.get(name_of(self.spec["image"]))
        if image is None:
            raise NotYet("ImagePullBackOff", f'back-off pulling image "{self.spec["image"]}"')
        return image

    def _environment(self, image: Image) -> dict[str, str]:
        return self._given.environment(self.spec, image.env)

    async def _once(self) -> int:
        image = self._image()
        env = self._environment(image)
        command = self.spec.get("command") or image.entrypoint
        argv = [expand(a, env) for a in [*command, *(self.spec.get("args") or [])]]
        if not argv:
            raise NotYet("RunContainerError", "no command specified")
        folder = self._folder / f"{self.name}-{self._restarts}"
        script = self._box.script(image, folder)
        began = now()
        with self._log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *("nsenter", f"--net=/run/netns/{self._pod['metadata']['uid']}"),
                *("unshare", "--mount", "--pid", "--uts", "--ipc", "/bin/sh", "-c", FORK, "sh"),
                *(str(BOX), str(script), self.spec.get("workingDir", "/")),
                *self._box.person(image),
                *argv,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )
        while process.returncode is None and not (script.parent / "up").exists():
            await asyncio.sleep(0.005)
        self._up = process.returncode is None
        self.state = {"running": {"startedAt": began}}
        self._tell()
        asking = [asyncio.ensure_future(self._ask_all())]
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await self._end(0)
            raise
        finally:
            for task in asking:
                task.cancel()
        self.ready = self.started = self._up = False
        about = {"exitCode": code, "startedAt": began, "finishedAt": now()}
        self.state = {"terminated": {**about, "reason": "Error" if code else "Completed"}}
        self._tell()
        return code

    async def _end(self, grace_s: float) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                if not self._up:
                    raise TimeoutError  # nobody is there yet who could be asked to end
                before = (self.spec.get("lifecycle") or {}).get("preStop") or {}
                if "sleep" in before:
                    await asyncio.sleep(before["sleep"]["seconds"] / self._haste)
                elif before:
                    await ask({**before, "timeoutSeconds": grace_s}, *self._asked())
                self.signal(signal.SIGTERM)
                await process.wait()
                return
        while process.returncode is None:  # its first process may not be born yet
            self.signal(signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await process.wait()

    def signal(self, number: int) -> None:
        first = self.first()
        if first is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(first, number)

    def _asked(self) -> tuple[Object, str, Network, Any]:
        return self._pod, self._given.ip, self._network, self.execute

    async def _ask_all(self) -> None:
        """The startup probe until it succeeds once, then liveness and readiness."""
        probe = self.spec.get("startupProbe")
        if probe and not await self._heeded(probe, for_ever=False):
            await self._end(self._grace())
            return
        self.started = True
        if self.spec.get("readinessProbe") is None:
            self.ready = True
        self._tell()
        async with asyncio.TaskGroup() as group:
            if probe := self.spec.get("livenessProbe"):
                group.create_task(self._live(probe))
            if probe := self.spec.get("readinessProbe"):
                group.create_task(self._heeded(probe, for_ever=True))

    async def _live(self, probe: Object) -> None:
        if not await self._heeded(probe, for_ever=False, until_it_fails=True):
            await self._end(self._grace())

    def _grace(self) -> float:
        return float(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _heeded(
        self, probe: Object, *, for_ever: bool, until_it_fails: bool = False
    ) -> bool:
        """Ask again and again: for ever (readiness), until it fails (liveness) or until it is
        decided (startup); how it was last.

        It is asked more often than the manifest says. Nobody is killed the sooner for it: that
        takes as many seconds as the manifest's period and threshold make.
        """
        period, threshold = probe.get("periodSeconds", 10), probe.get("failureThreshold", 3)
        delay = probe.get("initialDelaySeconds", 0)
        await asyncio.sleep(delay / self._haste)
        patience = 0.0 if for_ever else float(period * threshold)
        good = bad = 0
        well = time.monotonic() + delay * (1 - 1 / self._haste)
        while True:
            wrong = await ask(probe, *self._asked())
            good, bad = (0, bad + 1) if wrong else (good + 1, 0)
            if not wrong:
                well = max(well, time.monotonic())
            failed = bad >= threshold and time.monotonic() - well >= patience
            passed = bool(good >= probe.get("successThreshold", 1))
            if for_ever and (failed or passed) and self.ready != passed:
                self.ready = passed
                self._tell()
            elif not for_ever and (failed or (passed and not until_it_fails)):
                return passed
            await asyncio.sleep(period / self._haste)
