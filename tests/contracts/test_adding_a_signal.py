"""A new signal is one source file, one test and one page: done here with a throw-away one.

The project is laid out again in a temporary folder, three files are added, and everything that
should follow from them is looked for: the contract suite, catalog, schema, explanation, headers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOURCE = '''"""Prompts that shout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from wayside.catalog import catalog
from wayside.settings import Settings
from wayside.signals import Reading
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdict


class ShoutingRule(Settings):
    """Example: ``{share: 0.8}``"""

    share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """How much of the question's letters must be capitals."""


@catalog.register("signal", "shouting", settings=ShoutingRule)
class ShoutingSignal:
    """Matches when the question is written in capitals."""

    def __init__(self, rules: Mapping[str, ShoutingRule]) -> None:
        self._rules = rules

    def read(self, prompt: Prompt) -> Reading:
        letters = [c for c in prompt.question if c.isalpha()]
        if not letters:
            return {}
        share = sum(c.isupper() for c in letters) / len(letters)
        return {
            name: Verdict(share >= rule.share, share if share >= rule.share else 0.0,
                          f"{share:.0%} capitals", share)
            for name, rule in self._rules.items()
        }
'''

TEST = """from wayside.signals.shouting import ShoutingRule, ShoutingSignal
from wayside.vocab.prompt import Prompt


def test_capitals() -> None:
    signal = ShoutingSignal({"it": ShoutingRule()})
    assert signal.read(Prompt(model="auto", question="WHY IS IT DOWN"))["it"].matched
    assert not signal.read(Prompt(model="auto", question="Why is it down"))["it"].matched
"""

CONFIG = """models:
  small: {endpoints: ["http://127.0.0.1:8000"]}
  calm: {endpoints: ["http://127.0.0.1:8001"]}
routing:
  default_model: small
  signals:
    shouting:
      loud: {share: 0.7}
  decisions:
    - {name: calm-down, when: "shouting:loud", models: [calm]}
"""

PAGE = f"""# shouting

How much of the question's letters are capitals; `share` says how much is too much.

```yaml
{CONFIG}```
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, every file a link to the real one."""
    root = tmp_path_factory.mktemp("project")
    for part in ("src/wayside", "tests/contracts", "tests/signals", "docs/reference/signals"):
        shutil.copytree(
            ROOT / part,
            root / part,
            copy_function=os.symlink,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    (root / "tests" / "__init__.py").touch()
    (root / "src/wayside/signals/shouting.py").write_text(SOURCE)
    (root / "tests/signals/test_shouting.py").write_text(TEST)
    (root / "docs/reference/signals/shouting.md").write_text(PAGE)
    (root / "wayside.yaml").write_text(CONFIG)
    return root


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=root, env=env, capture_output=True, text=True, timeout=90
    )


def test_its_contract_and_its_test_pass(copy: Path) -> None:
    done = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".",
        "tests/contracts/test_every_kind.py", "tests/signals/test_shouting.py", "-k", "shouting",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "failed" not in done.stdout


def test_without_its_page_the_contract_says_so(copy: Path) -> None:
    page = copy / "docs/reference/signals/shouting.md"
    kept = page.read_text()
    page.unlink()
    try:
        done = run(
            copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir",
            ".", "tests/contracts/test_every_kind.py", "-k", "shouting and page",
        )  # fmt: skip
    finally:
        page.write_text(kept)
    assert done.returncode == 1
    assert "write docs/reference/signals/shouting.md" in done.stdout


def test_the_catalog_the_schema_and_the_checker_know_it(copy: Path) -> None:
    shown = run(copy, "-m", "wayside", "catalog", "shouting", "--json")
    (kind,) = json.loads(shown.stdout)
    assert kind["summary"] == "Matches when the question is written in capitals."
    schema = run(copy, "-m", "wayside", "config", "schema").stdout
    assert "How much of the question's letters must be capitals." in schema
    checked = run(copy, "-m", "wayside", "config", "check", "wayside.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (copy / "wrong.yaml").write_text(CONFIG.replace("share", "shore"))
    refused = run(copy, "-m", "wayside", "config", "check", "wrong.yaml")
    assert refused.returncode == 2
    assert "routing.signals.shouting.loud.shore" in refused.stderr and "share" in refused.stderr


def test_it_decides_and_explains(copy: Path) -> None:
    told = json.loads(run(copy, "-m", "wayside", "route", "--json", "WHY IS IT DOWN").stdout)
    assert told["model"] == "calm" and told["decision"] == "calm-down"
    (signal,) = told["signals"]
    assert signal["signal"] == "shouting:loud" and signal["because"] == "100% capitals"
