"""What somebody gets who mistypes, points at the wrong cluster, or stops it: where, what and what
to do, never a traceback. A0-01, A0-32 (two clusters, put in force and taken away)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.cluster import Kubectl, serving
from wayside.cli import cli
from wayside.cli.deploy_intent import named
from wayside.settings.load import documents


@pytest.fixture
def document() -> dict[str, Any]:
    found = documents(named("kubernetes").example)[0]
    return {**found, "namespace": f"m-{uuid.uuid4().hex[:8]}"}


@pytest.fixture
def typed(tmp_path: Path, document: dict[str, Any]) -> Any:
    def run(*args: str, status: int, held: str | bytes | None = None) -> Result:
        file = tmp_path / "w.yaml"
        raw = yaml.safe_dump(document) if held is None else held
        file.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
        done = CliRunner().invoke(cli, ["deploy", args[0], "-f", str(file), *args[1:]])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == status, done.output
        return done

    return run


def kubeconfig_to(folder: Path, server: str) -> str:
    made = folder / "kubeconfig"
    held = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    made.write_text(yaml.safe_dump(held))
    return str(made)


_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "held, told",
    [
        (_BOMB, "aliases make more than"),
        (b"models: {A: {}}\n" * 600_000, "is larger than 8 MiB"),
        ("models: " + "[" * 1_500, "not valid YAML"),
        ("models:\n\ta: 1\n", r"line 2, column 1: not valid YAML"),
        ("name: a\nname: b\n", "'name' is written twice"),
        (b"\xff\xfe\x00", "is not UTF-8 text; save it as UTF-8"),
        ("models:\n", "models: expected a mapping"),
        ("", "no model is configured"),
        ("models: {A: {run: simulator}}\n---\nmodels: {}\n", "2 documents; keep one"),
    ],
)
def test_files_that_are_no_intent(typed: Any, held: str | bytes, told: str) -> None:
    done = typed("render", "--target", "kubernetes", status=2, held=held)
    assert told in done.output and "wayside deploy init" not in done.output


def test_endless_files_are_not_read_to_their_end() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("there is no /dev/zero")
    done = CliRunner().invoke(cli, ["deploy", "render", "-f", "/dev/zero", "-t", "kubernetes"])
    assert done.exit_code == 2 and "/dev/zero: is larger than 8 MiB" in done.output


def test_what_is_set_beside_the_file_is_not_the_files_fault(typed: Any) -> None:
    for setting in ("router.replicas", "domain=x", "router.replicas=" + "[" * 1_500):
        done = typed("render", "--set", setting, status=2)
        assert "--set" in done.output or "router.replicas" in done.output
    assert "problem in" not in typed("render", "--set", "router.replicas", status=2).output
    assert "problem in" not in typed("render", "--target", "kubernets", status=2).output


def test_a_folder_that_cannot_be_written(typed: Any) -> None:
    told = typed("render", "--out", "/proc/nowhere", status=1).output
    assert told.startswith("Error: --out /proc/nowhere: No such file or directory")


@pytest.mark.parametrize("what", ["plan", "apply", "status", "preflight", "verify", "destroy"])
def test_no_cluster_is_told_as_that(typed: Any, tmp_path: Path, what: str) -> None:
    """The file has no problem where the kubeconfig has one; the status says that it did not
    work, not that the file is wrong."""
    more = ["--yes"] if what in ("apply", "destroy") else []
    nowhere = str(tmp_path / "none")
    told = typed(what, *more, "--kubeconfig", nowhere, status=1).output
    assert nowhere in told and "KUBECONFIG" in told and "problem in" not in told
    away = kubeconfig_to(tmp_path, "http://127.0.0.1:1")
    told = typed(what, *more, "--kubeconfig", away, "--context", "there", status=1).output
    assert "has no context 'there'; use: here" in told
    if what == "verify":
        return  # it asks the cluster only where the file has something there to look up
    told = typed(what, *more, "--kubeconfig", away, status=1).output
    assert "http://127.0.0.1:1 does not answer; is it the right one (--context)" in told


def test_whoever_may_not_is_told_what(typed: Any, tmp_path: Path, kubeconfig: Path) -> None:
    held = yaml.safe_load(kubeconfig.read_text())
    for user in held["users"]:
        user["user"] = {"token": "nobody"}
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(held))
    done = typed("status", "--kubeconfig", str(config), status=1)
    assert "forbids it; ask who runs the cluster for this right" in done.output
    assert 'User "nobody" cannot get resource "configmaps"' in done.output


def test_destroying_looks_where_else_it_is(
    typed: Any, kubeconfig: Path, document: dict[str, Any]
) -> None:
    where = document["namespace"]
    document["name"] = f"r{where}"
    given = ["--kubeconfig", str(kubeconfig)]
    typed("apply", "--yes", "--no-wait", *given, status=0)
    told = typed("destroy", "--yes", "-n", "default", *given, status=0).output
    assert f"there is one in {where} (--namespace)" in told
    told = typed("destroy", "--yes", "--set", "name=renamed", *given, status=0).output
    assert f"no deployment 'renamed' in the namespace {where}" in told
    held = json.loads(typed("destroy", "--yes", "--json", *given, status=0).stdout)
    assert len(held["deleted"]) >= 8
    held = json.loads(typed("destroy", "--yes", "--json", *given, status=0).stdout)
    assert held == {"deleted": [], "left": []}


@pytest.fixture
def two(tmp_path: Path, kubeconfig: Path) -> Iterator[tuple[str, Path, Path]]:
    """A kubeconfig with the contexts ``e`` and ``w``, and one of each alone."""
    folder = tmp_path / "west"
    folder.mkdir()
    with serving(folder) as west:
        made: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [],
                                "contexts": []}  # fmt: skip
        for name, path in (("e", kubeconfig), ("w", west.kubeconfig)):
            held = yaml.safe_load(path.read_text())
            made["clusters"].append({**held["clusters"][0], "name": name})
            made["users"].append({**held["users"][0], "name": name})
            context = {"name": name, "context": {"cluster": name, "user": name}}
            made["contexts"].append(context)
        both = tmp_path / "both"
        both.write_text(yaml.safe_dump(made))
        yield str(both), kubeconfig, west.kubeconfig


def test_two_clusters(typed: Any, document: dict[str, Any], two: tuple[str, Path, Path]) -> None:
    """A0-32: one intent on two API servers: each has everything, and a router that knows the
    other's servers; what programs read is one document; both are gone in the end."""
    both, east, west = two
    where = document["namespace"]
    document["clusters"] = [
        {"name": name, "context": name[0],
         "models": {m: f"https://{m.lower()}.{name}.example.com" for m in ("Model-A", "Model-B")}}
        for name in ("east", "west")
    ]  # fmt: skip
    given = ["--kubeconfig", both]
    told = typed("apply", "--yes", "--no-wait", *given, status=0).output
    assert "cluster east (context e)" in told and "cluster west (context w)" in told
    for path, own, other in ((east, "east", "west"), (west, "west", "east")):
        held = Kubectl(path)("-n", where, "get", "cm", "semantic-router-config", "-o", "yaml")
        assert f"model-a.{other}.example.com" in held and f"model-a.{own}.example" not in held
        Kubectl(path)("-n", where, "get", "deployment", "semantic-router", "vllm-model-a")
    found = json.loads(typed("plan", "--json", *given, status=0).stdout)["clusters"]
    assert {name: one["changed"] for name, one in found.items()} == {"east": False, "west": False}
    document["clusters"][1]["context"] = "gone"
    told = typed("status", *given, status=1).output
    assert "cluster west: " in told and "has no context 'gone'; use: e, w" in told
    document["clusters"][1]["context"] = "w"
    found = json.loads(typed("destroy", "--yes", "--json", *given, status=0).stdout)["clusters"]
    assert all(len(one["deleted"]) >= 8 and not one["left"] for one in found.values())
    for path in (east, west):
        assert not Kubectl(path)("-n", where, "get", "deploy,svc,cm", "-l",
                                 "app.kubernetes.io/managed-by=wayside-deploy", "-o",
                                 "name").strip()  # fmt: skip


def test_whoever_stops_it_is_told_how_to_go_on(
    tmp_path: Path, kubeconfig: Path, document: dict[str, Any], typed: Any
) -> None:
    """Ctrl-C while it waits (there is no kubelet): status 130, what to do, and the inventory has
    what was created."""
    file = tmp_path / "w.yaml"
    file.write_text(yaml.safe_dump(document))
    given = ["-f", str(file), "--kubeconfig", str(kubeconfig)]
    process = subprocess.Popen(
        [sys.executable, "-m", "wayside", "deploy", "apply", "--yes", *given],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # What runs in the background of a script inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        ends = time.monotonic() + 60
        for line in process.stdout:
            if "..." in line or time.monotonic() > ends:
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert "the same command goes on where this stopped" in told and "Traceback" not in told
    held = typed("destroy", "--yes", "--json", "--kubeconfig", str(kubeconfig), status=0).stdout
    assert any("Deployment" in one for one in json.loads(held)["deleted"])
