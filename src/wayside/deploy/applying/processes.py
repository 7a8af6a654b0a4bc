"""Processes on this machine, for the target ``local``: started apart from us, and stopped exactly.

A folder holds what they read, their logs and ``processes.json``: each with its process id and the
moment it started, by which it is told from another that was given the same id later.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from wayside.deploy import Process, Step, Text
from wayside.vocab.errors import ConfigError

_STATE = "processes.json"
_MARK = ".wayside-deployment"
"""In every folder that we made: none but those is ever deleted."""
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started."""

    name: str
    pid: int
    started: str
    """What the system says of when; another process with the same id says something else."""
    digest: str
    """Of what it was started with and reads at its start."""
    url: str = ""


def read(folder: Path) -> dict[str, Running]:
    """The processes of a folder, by name. Raises :class:`ConfigError` for a file of no use."""
    try:
        held = json.loads((folder / _STATE).read_text())
        return {one["name"]: Running(**one) for one in held}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError.one(f"cannot be read: {error}", where=str(folder / _STATE)) from None


def alive(one: Running) -> bool:
    """Whether it is still that process."""
    return _started(one.pid) == one.started != ""


def start(
    folder: Path, steps: Iterable[Step], tell: Callable[[str, str], None], *, timeout_s: float
) -> list[str]:
    """Write the files, start what does not run as it shall, end what is no longer asked for, and
    wait until each answers. The names of those that were started; none the second time."""
    _made(folder)
    known, begun, wanted = read(folder), list[str](), set[str]()
    for step in steps:
        tell("step", step.title)
        texts = [text for text in step.texts if _written(folder, text)]
        for process in step.processes:
            wanted.add(process.name)
            digest = _digest(process)
            running = known.get(process.name)
            if running is not None and alive(running) and running.digest == digest:
                tell("unchanged", process.name)
                continue
            if running is not None:
                stop(running)
            _is_free(process)
            known[process.name] = _begin(folder, process, digest)
            _keep(folder, known)
            begun.append(process.name)
            tell("created", process.name)
        for text in texts:
            tell("changed", text.path)
        for process in step.processes:
            if process.url:
                _answers(folder, known[process.name], process.url, timeout_s)
        for note in step.notes:
            tell("note", note)
    for name in [name for name in known if name not in wanted]:
        stop(known.pop(name))
        tell("deleted", name)
        _keep(folder, known)
    return begun


def _made(folder: Path) -> None:
    """Make the folder. Raises :class:`ConfigError` for one that has other things in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / _MARK).exists():
            if any(each.name != _STATE for each in folder.iterdir()):
                what = f"{folder} has other things in it, and is all ours to delete"
                fix = "name an empty folder, or one that is not there yet"
                raise ConfigError.one(what, where="targets.local.folder", fix=fix)
            (folder / _MARK).touch()
    except OSError as error:
        raise ConfigError.one(
            f"{folder} cannot be used: {error.strerror}",
            where="targets.local.folder",
            fix="name another folder",
        ) from None


def changes(folder: Path, steps: Iterable[Step]) -> list[str]:
    """What :func:`start` would do, a line each; nothing is touched."""
    known, wanted, found = read(folder), set[str](), list[str]()
    for step in steps:
        for text in step.texts:
            path = folder / text.path
            if not path.exists():
                found.append(f"+ {text.path}")
            elif path.read_text() != text.text:
                found.append(f"~ {text.path}")
        for process in step.processes:
            wanted.add(process.name)
            one = known.get(process.name)
            if one is None or not alive(one):
                found.append(f"+ Process {process.name}")
            elif one.digest != _digest(process):
                found.append(f"~ Process {process.name} (ended and started anew)")
    return found + [f"- Process {name}" for name in known if name not in wanted]


def stop(one: Running, *, grace_s: float = 40.0) -> bool:
    """End a process and those it started; whether it ran."""
    if not alive(one):
        _reap(one.pid)
        if not Path(f"/proc/{one.pid}").exists():
            # No process has this id while a group has it: whoever is in that was started by ours.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(one.pid, signal.SIGKILL)
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(one.pid, signal.SIGTERM)
    ends = time.monotonic() + grace_s
    while alive(one) and time.monotonic() < ends:
        _reap(one.pid)
        time.sleep(0.02)
    if alive(one):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        while alive(one):
            _reap(one.pid)
            time.sleep(0.02)
    return True


def destroy(folder: Path, tell: Callable[[str, str], None], *, with_data: bool) -> list[str]:
    """End every process of a folder, the last first; the folder goes with ``with_data``."""
    ended = []
    for one in reversed(list(read(folder).values())):
        if stop(one):
            ended.append(one.name)
            tell("deleted", one.name)
    (folder / _STATE).unlink(missing_ok=True)
    if not (folder / _MARK).exists():
        return ended
    if with_data:
        shutil.rmtree(folder)
        tell("deleted", str(folder))
    else:
        tell("kept", f"{folder}: logs and data; --with-data deletes it, too")
    return ended


def _begin(folder: Path, process: Process, digest: str) -> Running:
    argv = list(process.argv)
    if argv[0] == "wayside":
        argv[:1] = [sys.executable, "-m", "wayside"]
    with (folder / f"{process.name}.log").open("ab") as log:
        child = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, **process.env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    child.returncode = 0  # it is nobody's to wait for: it goes on when we end
    return Running(process.name, child.pid, _started(child.pid), digest, process.url)


def _is_free(process: Process) -> None:
    """Raises :class:`ConfigError` where somebody else listens already: it would be taken for ours,
    or answer in its place."""
    where = urlsplit(process.url)
    if not where.port:
        return
    for _ in range(_TRIES):  # one that was killed may need a moment to let go
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex((where.hostname or "127.0.0.1", where.port)) != 0:
                return
        time.sleep(0.05)
    what = f"somebody else listens on port {where.port} already"
    fix = "end that, or write another port in targets.local"
    raise ConfigError.one(what, where=process.name, fix=fix)


def _answers(folder: Path, one: Running, url: str, timeout_s: float) -> None:
    ends = time.monotonic() + timeout_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.HTTPError):
            pass
        _reap(one.pid)
        log = folder / f"{one.name}.log"
        if not alive(one):
            told = log.read_text(errors="replace")[-1500:].strip()
            raise ConfigError.one(f"ended at once: {told}", where=one.name, fix=f"see {log}")
        if time.monotonic() > ends:
            raise ConfigError.one(f"does not answer at {url}", where=one.name, fix=f"see {log}")
        time.sleep(0.05)


def _written(folder: Path, text: Text) -> bool:
    """Write a file, readable for nobody else; whether it was another before."""
    path = folder / text.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() == text.text:
        return False
    half = path.with_name(f".{path.name}.new")
    half.write_text(text.text)
    half.chmod(0o600)
    half.replace(path)
    return True


def _keep(folder: Path, known: dict[str, Running]) -> None:
    half = folder / f".{_STATE}.new"
    half.write_text(json.dumps([asdict(one) for one in known.values()], indent=1) + "\n")
    half.replace(folder / _STATE)


def _digest(process: Process) -> str:
    said = [list(process.argv), sorted(process.env.items())]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _started(pid: int) -> str:
    """When a process started, as the system tells it; empty if it is not there, or a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[19]
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return "" if told.startswith("Z") else told.partition(" ")[2].strip()


def _reap(pid: int) -> None:
    """Where it is our own child: a zombie would look alive to others."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
