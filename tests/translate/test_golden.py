"""Foreign documents and what becomes of them, kept as files that people can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wayside.runtime.compile import compile_policy
from wayside.settings import RouterSettings
from wayside.translate import translate_all

from .cases import CASES, GOLDEN, documents, updating

_IDS = [str(p.parent.relative_to(GOLDEN)) for p in CASES]


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_a_document_becomes_these_settings_and_notes(case: Path) -> None:
    translation = translate_all(documents(case))

    assert translation is not None
    RouterSettings.model_validate(translation.settings)
    got = {
        "out.json": json.dumps(translation.settings, indent=2, ensure_ascii=False) + "\n",
        "notes.txt": "".join(f"{note}\n" for note in translation.notes),
    }
    for name, text in got.items():
        expected = case.parent / name
        if updating():
            expected.write_text(text, encoding="utf-8")
        assert text == expected.read_text(encoding="utf-8"), f"{expected} (see cases.py)"


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_no_secret_of_a_document_is_copied(case: Path) -> None:
    translation = translate_all(documents(case))

    assert translation is not None
    assert "not-copied" not in json.dumps(translation.settings)
    assert not [n for n in translation.notes if "not-copied" in str(n)]


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_what_comes_out_compiles(case: Path) -> None:
    translation = translate_all(documents(case))
    assert translation is not None

    settings = RouterSettings.model_validate(translation.settings)
    policy = compile_policy(settings, keys=lambda reference, where: None, needs_endpoints=False)

    assert set(settings.models) <= {t.name for t in policy.targets}
