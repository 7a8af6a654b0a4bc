"""The attacks and their neighbours: every attack has innocent ones beside it, nothing held out is
trained on, and harmful rows say what is wanted, never how."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "corpora" / "jailbreak"
FILES = ("templated.jsonl", "responses.jsonl", "heldout.jsonl")
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
        slot = r"\{(?:reset|deed|bad|name|free|never|prefix|task|fact|topic|manner|line)\}"
        assert not re.search(slot, row["text"]), row["text"]


@pytest.mark.parametrize("name", FILES)
def test_no_text_stands_in_a_file_twice(name: str) -> None:
    counts = Counter(row["text"] for row in rows(name))
    assert [text for text, count in counts.items() if count > 1] == []


def test_the_files_are_what_make_writes(tmp_path: Path) -> None:
    for file in FOLDER.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "heldout.jsonl").write_bytes((FOLDER / "heldout.jsonl").read_bytes())
    subprocess.run([sys.executable, "make.py"], cwd=tmp_path, check=True, timeout=300)
    for name in ("templated.jsonl", "responses.jsonl"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


@pytest.mark.parametrize("name", ["templated.jsonl", "heldout.jsonl"])
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
    held = [set(re.findall(r"\w+", row["text"].lower())) for row in rows("heldout.jsonl")]
    for name in ("templated.jsonl", "responses.jsonl"):
        for row in rows(name):
            mine = set(re.findall(r"\w+", row["text"].lower()))
            for bag in held:
                fewer, more = sorted((len(mine), len(bag)))  # sizes alone rule most out
                near = fewer >= TOO_CLOSE * more
                assert not near or len(mine & bag) < TOO_CLOSE * len(mine | bag), row["text"]


def test_harmful_rows_are_short_wishes_without_instructions() -> None:
    for name in ("templated.jsonl", "heldout.jsonl"):
        for row in rows(name):
            if row["label"] == "harmful":
                assert len(row["text"]) < 200, row["text"]
                assert not re.search(r"\d+ ?(?:g|mg|ml|grams?|degrees|volts?)\b", row["text"])
