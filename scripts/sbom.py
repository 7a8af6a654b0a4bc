"""The bill of materials of what is installed: CycloneDX 1.6 in JSON, the same for the same inputs.

    python scripts/sbom.py                     (Wayside with every extra that is installed)
    python scripts/sbom.py --extra maas --output dist/sbom.cdx.json

Components are Wayside's requirements, and theirs, as this environment has them: so run it with
the Python of the environment that is asked about. Each has the licence that it names, and the
hashes of its files in ``uv.lock``. What the console's pages were built with is from its
``package-lock.json``.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Beside this file is another packaging.py.
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "scripts"]

from packaging.requirements import Requirement  # noqa: E402
from packaging.utils import canonicalize_name  # noqa: E402

NAME = "wayside"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--extra", action="append", help="only these  [default: those installed]")
    parser.add_argument("--output", type=Path, help="a file  [default: standard output]")
    given = parser.parse_args()
    text = json.dumps(bill(given.extra), indent=2, sort_keys=True) + "\n"
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text)
        print(f"{given.output}: {text.count('bom-ref')} components")


def bill(extras: Iterable[str] | None = None) -> dict[str, Any]:
    """The document. Raises ``SystemExit`` for a requirement that is not installed."""
    own = metadata.distribution(NAME)
    wanted = installed_extras(own) if extras is None else list(extras)
    found = closure(own, wanted)
    hashes = locked()
    asked: dict[str, set[str]] = {name: set() for name in found}
    for need in [*_needs(own, wanted), *(n for one in found.values() for n in _needs(one, []))]:
        asked[canonicalize_name(need.name)] |= need.extras
    components = [_component(one, hashes) for one in found.values()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": own.version,
                "licenses": _licences(own),
                "purl": f"pkg:pypi/{NAME}@{own.version}",
            },
            "properties": [{"name": "wayside:extras", "value": ",".join(sorted(wanted))}],
        },
        "components": [*components, *pages()],
        "dependencies": [
            {"ref": NAME, "dependsOn": sorted(_refs(own, wanted, found))},
            *(
                {"ref": _ref(one), "dependsOn": sorted(_refs(one, sorted(asked[name]), found))}
                for name, one in found.items()
            ),
        ],
    }


def installed_extras(own: metadata.Distribution) -> list[str]:
    """Those of Wayside's extras of which everything is there."""
    names = own.metadata.get_all("Provides-Extra") or []
    return [name for name in names if all(_there(r) for r in _needs(own, [name], only=True))]


def closure(own: metadata.Distribution, extras: list[str]) -> dict[str, metadata.Distribution]:
    """Every distribution that is needed, by its canonical name."""
    found: dict[str, metadata.Distribution] = {}
    asked: set[tuple[str, str]] = set()
    waiting = list(_needs(own, extras))
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        if name not in found:
            try:
                found[name] = metadata.distribution(need.name)
            except metadata.PackageNotFoundError:
                raise SystemExit(f"{need} is needed and not installed") from None
            waiting += _needs(found[name], [])
        for extra in need.extras:
            if (name, extra) not in asked:
                asked.add((name, extra))
                waiting += _needs(found[name], [extra], only=True)
    return dict(sorted(found.items()))


def _needs(
    of: metadata.Distribution, extras: list[str], *, only: bool = False
) -> Iterator[Requirement]:
    """What it requires here; ``only``: what its extras add."""
    for need in _read(of.name, tuple(of.requires or ())):
        plain = need.marker is None or need.marker.evaluate({"extra": ""})
        wanted = any(need.marker and need.marker.evaluate({"extra": e}) for e in extras)
        if (plain and not only) or (wanted and not plain):
            yield need


@functools.cache
def _read(_name: str, texts: tuple[str, ...]) -> list[Requirement]:
    return [Requirement(text) for text in texts]


def _there(need: Requirement) -> bool:
    try:
        return metadata.version(need.name) in need.specifier
    except metadata.PackageNotFoundError:
        return False


def _refs(
    of: metadata.Distribution, extras: list[str], found: dict[str, metadata.Distribution]
) -> set[str]:
    names = {canonicalize_name(need.name) for need in _needs(of, extras)}
    return {_ref(found[name]) for name in names if name in found}


def _ref(one: metadata.Distribution) -> str:
    return f"pkg:pypi/{canonicalize_name(one.name)}@{one.version}"


def _component(
    one: metadata.Distribution, hashes: dict[tuple[str, str], list[str]]
) -> dict[str, Any]:
    name = canonicalize_name(one.name)
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": _ref(one),
        "name": name,
        "version": one.version,
        "purl": _ref(one),
    }
    if licences := _licences(one):
        made["licenses"] = licences
    if known := hashes.get((name, one.version)):
        # One of these files was installed: so they are references, and not the component's own.
        made["externalReferences"] = [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{name}/{one.version}/",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in known],
            }
        ]
    return made


def _licences(one: metadata.Distribution) -> list[dict[str, Any]]:
    expression = one.metadata.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    named = [
        c.rpartition(" :: ")[2]
        for c in one.metadata.get_all("Classifier") or []
        if c.startswith("License :: ")
    ]
    short = (one.metadata.get("License") or "").strip()
    if not named and short and "\n" not in short and len(short) < 100:
        named = [short]
    return [{"license": {"name": name}} for name in sorted(set(named))]


def locked() -> dict[tuple[str, str], list[str]]:
    """SHA-256 of every file in ``uv.lock``, by name and version; nothing outside a checkout."""
    path = ROOT / "uv.lock"
    if not path.is_file():
        return {}
    found = {}
    for package in tomllib.loads(path.read_text())["package"]:
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else ())]
        digests = {f["hash"].removeprefix("sha256:") for f in files if "hash" in f}
        found[package["name"], package.get("version", "")] = sorted(digests)
    return found


def pages() -> list[dict[str, Any]]:
    """What is built into the console's pages."""
    path = ROOT / "console" / "package-lock.json"
    if not path.is_file():
        return []
    found = []
    for place, package in sorted(json.loads(path.read_text()).get("packages", {}).items()):
        if not place or package.get("dev") or package.get("link"):
            continue
        name, version = place.rpartition("node_modules/")[2], package["version"]
        ref = f"pkg:npm/{name.replace('@', '%40')}@{version}"
        made = {"type": "library", "bom-ref": ref, "name": name, "version": version, "purl": ref}
        licence = package.get("license", "")
        if re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
            made["licenses"] = [{"license": {"id": licence}}]  # type: ignore[assignment]
        found.append(made)
    return list({one["bom-ref"]: one for one in found}.values())


if __name__ == "__main__":
    main()
