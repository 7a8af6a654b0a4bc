"""Fault 40: what is installed is what was locked, and nothing else comes along."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SBOM = ROOT / "scripts" / "sbom.py"
AUDIT = ROOT / "scripts" / "audit.py"


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    done = subprocess.run([sys.executable, SBOM], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built as ``make build`` of deploy/operator does."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed: nothing builds a wheel")
    folder = tmp_path_factory.mktemp("dist")
    command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def named(components: list[dict[str, Any]], kind: str) -> dict[str, str]:
    return {c["name"]: c["version"] for c in components if c["purl"].startswith(f"pkg:{kind}/")}


def test_the_bill_is_what_is_installed_and_what_was_locked(bill: dict[str, Any]) -> None:
    """Every component is installed in that version, and is in ``uv.lock`` in that version with a
    hash; every requirement of ``pyproject.toml`` is a component."""
    components = named(bill["components"], "pypi")
    for name, version in components.items():
        assert metadata.version(name) == version
    locked = {  # of one name there may be two, for another Python
        (package["name"], package.get("version")): package
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    for name, version in components.items():
        assert (name, version) in locked, "the environment is not the locked one"
        assert any("hash" in w for w in locked[name, version].get("wheels", ())), name
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for need in wanted:
        found = re.match(r"[A-Za-z0-9._-]+", need)
        assert found
        assert re.sub(r"[-_.]+", "-", found[0]).lower() in components


def test_the_bill_is_what_the_images_install(bill: dict[str, Any]) -> None:
    """``requirements.txt`` of the images, by ``uv export``: the same names and versions, for the
    extras that both have, and a hash for each line."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed: nothing exports the lock")
    made = re.search(r"^EXTRAS\s*[?:]?=\s*(.+)$", _makefile(), re.MULTILINE)
    assert made
    extras = made[1].split()
    told = [uv, "export", "--quiet", "--project", str(ROOT), "--frozen", "--no-emit-project"]
    told += ["--no-default-groups", *(f"--extra={e}" for e in extras)]
    text = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    pins = set(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, re.MULTILINE))
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(pins)
    only = [arg for e in extras for arg in ("--extra", e)]
    done = subprocess.run(
        [sys.executable, SBOM, *only], capture_output=True, text=True, check=True
    )
    installed = named(json.loads(done.stdout)["components"], "pypi")
    assert set(installed.items()) <= pins
    # What is exported and not installed here is for another system or another Python.
    for name, version in pins - set(installed.items()):
        assert re.search(rf"^{name}=={re.escape(version)} *;", text, re.MULTILINE), name


def _makefile() -> str:
    return (ROOT / "deploy" / "operator" / "Makefile").read_text()


def test_the_bill_is_valid_and_the_same_again(bill: dict[str, Any]) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    kinds = [c for c in bill["components"] if c["purl"].startswith("pkg:npm/")][:3]
    part = {**bill, "components": [*bill["components"][:8], *kinds]}  # all of it takes seconds
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(part)) is None
    again = runpy.run_path(str(SBOM))["bill"]()
    assert again == bill
    refs = {c["bom-ref"] for c in bill["components"]} | {"wayside"}
    assert len(refs) == len(bill["components"]) + 1
    for one in bill["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= refs


def test_the_pages_parts_are_in_it(bill: dict[str, Any]) -> None:
    if not (ROOT / "console" / "package-lock.json").is_file():
        pytest.skip("there is no console here")
    assert "react" in named(bill["components"], "npm") or "preact" in named(
        bill["components"], "npm"
    )


@pytest.mark.slow
def test_the_wheel_has_what_runs_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No ``.pth`` (which would run at every start of Python), no tests, no ``node_modules``, no
    keys, nothing outside its own folder; the console's pages, the models and every module."""
    names = set(wheel.namelist())
    (info,) = {n.partition("/")[0] for n in names if ".dist-info/" in n}
    assert {n.partition("/")[0] for n in names} == {"wayside", info}
    for name in names:
        path = Path(name)
        assert path.suffix not in {".pth", ".pem", ".key", ".so", ".map", ".pyc", ".env"}, name
        assert not {"tests", "node_modules", "__pycache__", ".git"} & set(path.parts), name
    tracked = subprocess.run(
        ["git", "ls-files", "src/wayside"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if not tracked:
        pytest.skip("this is no checkout: nobody says what belongs into a wheel")
    expected = {n.removeprefix("src/") for n in tracked if (ROOT / n).is_file()}
    assert expected <= names
    entries = wheel.read(f"{info}/entry_points.txt").decode()
    assert re.findall(r"^(\S+) *=", entries, re.MULTILINE) == ["wayside"]
    static = ROOT / "src" / "wayside" / "console" / "static"
    if static.is_dir():
        assert "wayside/console/static/index.html" in names


def test_an_installed_distribution_brings_no_pth() -> None:
    """Of all that Wayside needs; tools for development may."""
    made = runpy.run_path(str(SBOM))
    own = metadata.distribution("wayside")
    for name, one in made["closure"](own, made["installed_extras"](own)).items():
        brought = [str(f) for f in one.files or () if f.suffix == ".pth"]
        assert not brought, f"{name}: {brought}"


REPORT = {
    "dependencies": [
        {"name": "good", "version": "1", "vulns": []},
        {"name": "weak", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]},
        {"name": "unknown", "skip_reason": "Dependency not found on PyPI"},
    ]
}


def test_an_audit_never_calls_good_what_it_did_not_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``pip-audit`` says "no known vulnerabilities" of packages that it could not ask about."""
    told: Callable[..., int] = runpy.run_path(str(AUDIT))["told"]
    pins = {"good": "1", "weak": "2", "unknown": "3"}
    assert told(pins, REPORT, "", strict=False) == 1
    said = capsys.readouterr().out
    assert "WEAK: weak 2: PYSEC-1, mended in 3" in said
    assert "2 of 3 checked" in said
    assert "NOT CHECKED: 1 (unknown): Dependency not found on PyPI" in said
    healthy = {"dependencies": [REPORT["dependencies"][0]]}
    assert told({"good": "1"}, healthy, "", strict=True) == 0
    assert "NOT CHECKED" not in capsys.readouterr().out
    assert told({"good": "1", "other": "1"}, healthy, "no network", strict=True) == 3
    assert told({"good": "1"}, {"dependencies": []}, "no network", strict=False) == 0
    assert "NOT CHECKED: 1 (good): no network" in capsys.readouterr().out
