"""Every example loads, compiles, and routes the prompts of its page as the page says."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from wayside.cli.files import native, read
from wayside.engines import Engines
from wayside.runtime import Runtime, compile_policy
from wayside.runtime.explain import explanation
from wayside.vocab.outcome import Request

FOLDERS = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())
FILES = [p for folder in FOLDERS for p in sorted(folder.glob("*.yaml"))]
_ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def rows(folder: Path) -> list[tuple[str, str, str]]:
    """Prompt, decision and model, from the page's table."""
    text = (folder / "README.md").read_text()
    table = text.partition("| prompt | decision | model |\n")[2].partition("\n\n")[0]
    return _ROW.findall(table)


def test_there_are_examples_and_each_has_a_page() -> None:
    assert len(FOLDERS) >= 4
    index = (ROOT / "examples" / "README.md").read_text()
    for folder in FOLDERS:
        assert len(rows(folder)) >= 3
        assert f"({folder.name}/README.md)" in index


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_an_example_routes_as_its_page_says(file: Path) -> None:
    loaded = read(file.read_bytes(), str(file), env={})
    runtime = Runtime(compile_policy(loaded.settings), Engines().answerers())
    for prompt, decision, model in rows(file.parent):
        body = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
        request = Request("POST", "/v1/chat/completions", {}, json.dumps(body).encode())
        told = explanation(*asyncio.run(runtime.explain(request)))
        assert (told["decision"] or "default", told["model"]) == (decision, model), prompt


def test_an_example_and_its_translation_are_the_same() -> None:
    folder = ROOT / "examples" / "04-split-layout"
    document, format_, _ = native((folder / "config-split.yaml").read_bytes(), "config-split.yaml")
    ours, ours_format, _ = native((folder / "wayside.yaml").read_bytes(), "wayside.yaml")
    assert (format_, ours_format) == ("vsr_flat", "wayside")
    assert ours == document, "write it again: wayside config convert config-split.yaml"
