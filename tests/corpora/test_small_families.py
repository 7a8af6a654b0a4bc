"""The small families' rows: made from their text files, in many languages, none held out."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wayside.engines.families import FAMILIES

CORPORA = Path(__file__).parents[2] / "corpora"
SMALL = ("fact_check", "feedback", "complexity", "modality", "safety")
UNMARKED = {"fact_check": "no_fact_check_needed", "feedback": "none", "modality": "text"}
UNMARKED |= {"safety": "safe", "complexity": "easy"}


def grammar() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grammar", CORPORA / "grammar.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["grammar"] = module
    spec.loader.exec_module(module)
    return module


def rows(name: str) -> list[dict[str, Any]]:
    lines = (CORPORA / name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.mark.parametrize("script", ["make.py", "near_miss/make.py"])
def test_the_committed_files_are_what_their_text_files_say(script: str) -> None:
    found = subprocess.run(
        [sys.executable, str(CORPORA / script), "--check"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("family", SMALL)
def test_every_row_has_a_known_label_a_language_and_a_kind(family: str) -> None:
    for name in ("train", "heldout", "heldout3"):
        for row in rows(f"{family}/{name}.jsonl"):
            assert row["text"].strip() and row["kind"]
            assert row["label"] in FAMILIES[family].labels
            assert len(row["lang"]) == 2 and row["lang"].isalpha()
            if "messages" in row:
                assert row["messages"][-1] == {"role": "user", "content": row["text"]}


@pytest.mark.parametrize("family", SMALL)
def test_all_labels_are_learnt_in_english_and_some_in_fifteen_languages(family: str) -> None:
    found = rows(f"{family}/train.jsonl")
    assert len(found) >= 1_500
    english = Counter(row["label"] for row in found if row["lang"] == "en")
    assert set(english) == set(FAMILIES[family].labels)
    labels = defaultdict(set)
    for row in found:
        labels[row["lang"]].add(row["label"])
    assert len(labels) >= 15
    assert all(len(some) >= 2 for some in labels.values()), "a language alone must tell nothing"


@pytest.mark.parametrize("family", SMALL)
def test_hard_negatives_stand_beside_the_positives(family: str) -> None:
    hard = [row for row in rows(f"{family}/train.jsonl") if row["kind"] == "hard_negative"]
    assert sum(row["label"] == UNMARKED[family] for row in hard) >= (
        0 if family == "modality" else 20
    )
    if family == "modality":
        borrowed = [r for r in rows("modality/train.jsonl") if r["label"] == "text"]
        assert sum(r["text"].lower().startswith(("translate", "fix")) for r in borrowed) >= 10


@pytest.mark.parametrize("family", SMALL)
def test_no_held_out_row_is_nearly_learnt(family: str) -> None:
    alike = grammar()
    files = ("heldout", "heldout3")
    held = [alike.bag(row["text"]) for name in files for row in rows(f"{family}/{name}.jsonl")]
    assert len(held) >= 249
    learnt = ["train", "silver"] if (CORPORA / family / "silver.jsonl").exists() else ["train"]
    for name in learnt:
        for row in rows(f"{family}/{name}.jsonl"):
            mine = alike.bag(row["text"])
            near = [
                one for one in held if one & mine and len(one & mine) / len(one | mine) >= 0.75
            ]
            assert not near, row["text"]


@pytest.mark.parametrize("family", SMALL)
def test_the_clean_set_is_of_all_labels_and_half_of_it_is_not_english(family: str) -> None:
    found = rows(f"{family}/heldout3.jsonl")
    assert len(found) >= 150
    assert {row["label"] for row in found} == set(FAMILIES[family].labels)
    others = [row["lang"] for row in found if row["lang"] != "en"]
    assert len(others) / len(found) >= 0.5 and len(set(others)) >= 18
    assert sum(row["kind"] == "hard_negative" for row in found) / len(found) >= 0.15


def test_safety_rows_are_short_and_give_no_instructions() -> None:
    for name in ("train", "heldout", "heldout3"):
        for row in rows(f"safety/{name}.jsonl"):
            assert len(row["text"]) <= 160 and "\n" not in row["text"]


def test_near_misses_are_thousands_in_many_languages_and_balanced_by_paraphrases() -> None:
    found = rows("near_miss/pairs.jsonl")
    assert sum(not row["same"] for row in found) >= 2_000
    assert sum(row["same"] for row in found) >= 400
    assert len({row["lang"] for row in found}) >= 8
    kinds = {row["kind"] for row in found}
    assert {"number", "negation", "polarity", "entity", "unit", "time", "direction"} <= kinds
    assert {"comparison", "quantifier", "paraphrase", "wording"} <= kinds
    assert all(row["a"] != row["b"] for row in found)
    held = {(row["a"], row["b"]) for row in rows("near_miss/heldout.jsonl")}
    assert len(held) >= 70
    assert not held & {(row["a"], row["b"]) for row in found}


def test_sentences_stand_in_more_than_twenty_five_languages() -> None:
    found = rows("language/heldout.jsonl")
    whole = [row for row in found if row["kind"] == "sentence"]
    assert len({row["label"] for row in whole}) >= 25
    assert {"short", "mixed_script", "code_switched", "code"} <= {row["kind"] for row in found}
    spaced = [row for row in whole if row["label"] not in ("zh", "ja", "ko")]
    assert all(len(row["text"]) >= 20 for row in spaced)


@pytest.mark.parametrize("family", [*SMALL, "near_miss", "language"])
def test_every_family_has_a_datasheet(family: str) -> None:
    text = (CORPORA / family / "DATASHEET.md").read_text(encoding="utf-8")
    for heading in ("## Why it exists", "## What is in it", "## How it was made", "## Limits"):
        assert heading in text, heading


def test_a_grammar_file_with_a_mistake_names_its_line(tmp_path: Path) -> None:
    module = grammar()
    file = tmp_path / "rows.txt"
    file.write_text("a line\n", "utf-8")
    with pytest.raises(ValueError, match=r"rows\.txt:1: a line before any section"):
        module.parse(file)
    file.write_text("## a ; b\n", "utf-8")
    with pytest.raises(ValueError, match=r"rows\.txt:1: a section is"):
        module.parse(file)
