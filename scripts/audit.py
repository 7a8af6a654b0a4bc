"""Known weaknesses of what Wayside depends on, by ``pip-audit``; and what was not checked.

    python scripts/audit.py             (exit status 1 for a weakness)
    python scripts/audit.py --strict    (and 3 where something could not be checked)

``pip-audit`` calls it "no known vulnerabilities" when it could not ask about a package. Here that
is "not checked", and it is said: a mirror of PyPI's files has no advisories.
"""

from __future__ import annotations

import argparse
import json
import runpy
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path
from typing import Any

_SBOM = runpy.run_path(str(Path(__file__).with_name("sbom.py")))
ADVISORIES = "https://pypi.org/pypi/{name}/{version}/json"
PATIENCE_S = 15


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--strict", action="store_true", help="what is not checked is an error")
    given = parser.parse_args()
    own = metadata.distribution(_SBOM["NAME"])
    found = _SBOM["closure"](own, _SBOM["installed_extras"](own))
    pinned = {name: one.version for name, one in found.items()}
    why = unreachable(*next(iter(pinned.items())))
    report = {"dependencies": []} if why else asked(pinned)
    return told(pinned, report, why, strict=given.strict)


def unreachable(name: str, version: str) -> str:
    """Why advisories cannot be had here, by asking once; empty where they can."""
    url = ADVISORIES.format(name=name, version=version)
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return "" if "vulnerabilities" in json.load(answer) else f"{url} has no advisories"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except (OSError, ValueError) as error:
        return f"{url}: {error}"


def asked(pinned: dict[str, str]) -> dict[str, Any]:
    """What ``pip-audit`` says of each."""
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items()))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--vulnerability-service", "pypi"),
                *("--no-deps", "--disable-pip", "-r", str(path)),
                *("--progress-spinner", "off", "--format", "json"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"pip-audit failed: {done.stderr[-2000:]}") from None
    return report


def told(pinned: dict[str, str], report: dict[str, Any], why: str, *, strict: bool) -> int:
    """Print it; the exit status."""
    checked, weak = set(), []
    for one in report["dependencies"]:
        if "skip_reason" in one:
            why = why or one["skip_reason"]
            continue
        checked.add(one["name"].lower())
        weak += [(one["name"], one["version"], v) for v in one.get("vulns", ())]
    missing = sorted(set(pinned) - checked)
    for name, version, known in weak:
        fixed = ", ".join(known.get("fix_versions") or ()) or "nothing yet"
        print(f"WEAK: {name} {version}: {known['id']}, mended in {fixed}")
    print(f"audit: {len(checked)} of {len(pinned)} checked, {len(weak)} known weaknesses")
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        print(f"NOT CHECKED: {len(missing)} ({shown}): {why or 'pip-audit does not say why'}")
    if weak:
        return 1
    return 3 if missing and strict else 0


if __name__ == "__main__":
    sys.exit(main())
