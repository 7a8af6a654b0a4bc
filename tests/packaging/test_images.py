"""Containerfiles are read by a linter, and say what the manifests say; no engine is here to build
them (A1-04, A1-09, A1-10)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from wayside.manifests.install import OPERATOR
from wayside.manifests.manager import container
from wayside.manifests.olm import BUNDLE_LABELS

IMAGES = Path(__file__).parents[2] / "deploy" / "images"
FILES = sorted(IMAGES.glob("Containerfile*"))
HADOLINT = Path(sys.executable).with_name("hadolint")


def instructions(path: Path) -> list[tuple[str, str]]:
    """Each instruction and what follows it, lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word, rest)
        for line in joined.splitlines()
        if line.strip()
        for word, _, rest in [line.partition(" ")]
    ]


def test_all_three_are_here() -> None:
    names = [path.name for path in FILES]
    assert names == ["Containerfile", "Containerfile.bundle", "Containerfile.catalog"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a1_04_the_linter_finds_nothing(path: Path) -> None:
    """A1-04, A1-09, A1-10: hadolint, every rule at every level."""
    if not HADOLINT.exists():
        pytest.skip("hadolint is not installed: its wheel is not made for this machine")
    done = subprocess.run(
        [HADOLINT, "--no-color", "--failure-threshold=style", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_no_shell_is_needed_and_bases_can_be_pinned(path: Path) -> None:
    """D39: commands are lists, bases come from an ARG with a version."""
    said = instructions(path)
    args = dict(rest.partition("=")[::2] for word, rest in said if word == "ARG")
    for word, rest in said:
        if word in ("RUN", "CMD", "ENTRYPOINT"):
            assert isinstance(json.loads(rest), list), f"{path.name}: {word} {rest}"
            assert not re.search(r"\b(ba|da)?sh\b|curl|wget|apt", rest)
        if word == "FROM" and rest != "scratch":
            variable = re.fullmatch(r"\$\{(\w+)\}(?: AS \w+)?", rest)
            assert variable, f"{path.name}: {rest}"
            tag = args[variable[1]].rpartition(":")[2]
            assert re.search(r"\d", tag) and tag != "latest"
        assert word != "ADD"


def test_d39_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    """D39: so that ``runAsNonRoot`` can be checked before it starts."""
    for name in ("Containerfile", "Containerfile.catalog"):
        users = [rest for word, rest in instructions(IMAGES / name) if word == "USER"]
        assert users and int(users[-1].partition(":")[0]) >= 1000


def test_what_the_manifests_start_is_what_the_image_has() -> None:
    said = instructions(IMAGES / "Containerfile")
    (entry,) = [json.loads(rest) for word, rest in said if word == "ENTRYPOINT"]
    assert entry == container(OPERATOR, "an-image")["command"]
    copied = [rest for word, rest in said if word == "COPY"]
    assert any(c.startswith("*.whl") for c in copied)
    assert any(c.startswith("requirements.txt") for c in copied)
    runs = " ".join(rest for word, rest in said if word == "RUN")
    assert "--require-hashes" in runs and "--no-index" in runs


def test_a1_09_the_bundles_image_says_what_its_annotations_say() -> None:
    """A1-09: OLM reads the labels, validators the file."""
    labels = [
        rest for word, rest in instructions(IMAGES / "Containerfile.bundle") if word == "LABEL"
    ]
    assert dict(re.findall(r'(\S+?)="([^"]*)"', " ".join(labels))) == BUNDLE_LABELS
