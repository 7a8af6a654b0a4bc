"""What each target makes of its example, to the byte.

``WAYSIDE_UPDATE_GOLDEN=1 pytest tests/deploy/test_goldens.py`` rewrites ``tests/golden/deploy``;
read the diff. Targets: local, kubernetes, helm-values and whatever else is registered.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.deploy.goldens import told
from wayside.cli.deploy_intent import entries, parse
from wayside.deploy import Entry
from wayside.deploy.applying.files import files
from wayside.deploy.applying.scene import Offline, rendered
from wayside.settings.load import documents

GOLDEN = Path(__file__).parents[1] / "golden" / "deploy"


@pytest.mark.parametrize("entry", entries().values(), ids=lambda e: e.name)
def test_the_example_is_rendered_as_before(entry: Entry) -> None:
    intent = parse(documents(entry.example)[0])
    made = files(rendered(entry.target, intent, Offline(told(entry.name))))
    folder = GOLDEN / entry.name
    if os.environ.get("WAYSIDE_UPDATE_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for path, text in made.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    held = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert sorted(made) == sorted(held)
    for path, text in made.items():
        assert text == held[path], f"{path}; see this file's docstring"
