"""The attacks and their neighbours: every attack has innocent ones beside it, nothing held out is
trained on, and harmful rows say what is wanted, never how."""

from __future__ import annotations

import importlib
import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "corpora" / "jailbreak"
HELD = ("heldout.jsonl", "heldout3.jsonl")
FILES = ("templated.jsonl", "responses.jsonl", *HELD)
LABELS = {"benign", "jailbreak", "harmful"}
TOO_CLOSE = 0.8  # shared words over all words
Row = dict[str, str]


def rows(name: str) -> list[Row]:
    lines = (FOLDER / name).read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_text_with_a_known_label_language_and_family(name: str) -> None:
    for number, row in enumerate(rows(name), 1):
        assert row["text"].strip() and row["family"], number
        assert row["label"] in LABELS, number
        assert re.fullmatch("[a-z]{2}", row["lang"]), number
        slot = (
            r"\{(?:reset|deed|bad|name|free|never|prefix|task|fact|topic|manner|line|craft|trade|real"
            r"|order|chore|plant|errand|robot|halves|wholes|no|plainly|teacher|learner)\}|⟦"
        )
        assert not re.search(slot, row["text"]), row["text"]


@pytest.mark.parametrize("name", FILES)
def test_no_text_stands_in_a_file_twice(name: str) -> None:
    counts = Counter(row["text"] for row in rows(name))
    assert [text for text, count in counts.items() if count > 1] == []


def test_the_files_are_what_make_writes(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name in HELD:
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True, timeout=300)
    for name in ("templated.jsonl", "responses.jsonl"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


@pytest.mark.parametrize("name", ["templated.jsonl", *HELD])
def test_attacks_and_innocent_prompts_stand_side_by_side(name: str) -> None:
    labels = Counter(row["label"] for row in rows(name))
    assert labels["benign"] > 0.6 * labels["jailbreak"]
    by_language = Counter((row["lang"], row["label"]) for row in rows(name))
    languages = {lang for lang, _ in by_language}
    assert len(languages) >= 14
    for lang in languages:
        assert by_language[lang, "jailbreak"] and by_language[lang, "benign"], lang


def test_every_technique_is_there() -> None:
    families = Counter(
        row["family"] for row in rows("templated.jsonl") if row["label"] != "benign"
    )
    for family in (
        "instruction_reset", "role_play_override", "fake_mode", "system_prompt_probe",
        "refusal_suppression", "prefix_injection", "fiction_framing", "token_smuggling",
        "fake_turns", "crescendo", "pressure", "indirect_injection", "optimised_suffix",
        "encoded_base64", "encoded_rot13", "encoded_hex", "encoded_leet", "encoded_zero_width",
        "encoded_lookalike", "encoded_spaced", "foreign_attack", "buried",
    ):  # fmt: skip
        assert families[family] >= 50, family


def test_nothing_held_out_is_nearly_trained_on() -> None:
    """Every twentieth row, against all that is held out: `make.py` drops neighbours by an index,
    here they are looked for one by one."""
    held = [set(words(row["text"])) for name in HELD for row in rows(name)]
    for name in ("templated.jsonl", "responses.jsonl"):
        for row in rows(name)[::20]:
            mine = set(words(row["text"]))
            for bag in held:
                assert len(mine & bag) < TOO_CLOSE * len(mine | bag), row["text"]


def test_the_index_of_neighbours_misses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    make = maker(monkeypatch)
    bags = [set(words(row["text"])) for row in rows("heldout.jsonl")]
    known = make.Neighbours(bags)
    dice = random.Random(1)
    for bag in bags:
        few = int(len(bag) * (1 - TOO_CLOSE))
        gone = set(dice.sample(sorted(bag), few))
        assert known.near(bag - gone), bag
        assert known.near(bag | {f"more{i}" for i in range(len(bag) // 4)}), bag
    assert not known.near({"nothing", "of", "the", "kind"})
    assert not known.near(set())


def maker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`make.py` of this corpus, forgotten afterwards: every corpus has one of that name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for file in FOLDER.glob("*.py"):  # another corpus's, which a test before this one left
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    before = set(sys.modules)
    made = importlib.import_module("make")
    for name in sys.modules.keys() - before:
        del sys.modules[name]
    return made


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def test_harmful_rows_are_short_wishes_without_instructions() -> None:
    for name in ("templated.jsonl", "heldout.jsonl"):
        for row in rows(name):
            if row["label"] == "harmful":
                assert len(row["text"]) < 200, row["text"]
                assert not re.search(r"\d+ ?(?:g|mg|ml|grams?|degrees|volts?)\b", row["text"])
