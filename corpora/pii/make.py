"""Writes `templated.jsonl` and `benign_templated.jsonl`: the same seed gives the same bytes.

python corpora/pii/make.py
"""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

from frames import BENIGN, FRAMES, RECORDS
from values import MAKERS, number

HERE = Path(__file__).parent
SEED = 20261121
EACH = 22
"""Times a frame is filled."""
_HOLE = re.compile(r"\{([A-Z_]+)(?:=([^}]+))?\}")


def fill(dice: Random, frame: str, lang: str) -> tuple[str, list[list[Any]]]:
    """The frame with its holes filled, and where they were."""
    text, spans, at = "", [], 0
    for hole in _HOLE.finditer(frame):
        text += frame[at : hole.start()]
        value = hole[2] or MAKERS[hole[1]](dice, lang)
        spans.append([len(text), len(text) + len(value), hole[1]])
        text += value
        at = hole.end()
    return text + frame[at:], spans


def lines(block: str) -> list[str]:
    return [line.strip().replace(r"\n", "\n") for line in block.strip().splitlines()]


def rows() -> list[dict[str, Any]]:
    dice = Random(SEED)
    made = []
    frames = [(lang, "typed", frame) for lang, block in FRAMES.items() for frame in lines(block)]
    frames += [("en", "pasted", frame) for frame in lines(RECORDS)]
    for lang, form, frame in frames:
        for _ in range(EACH):
            text, spans = fill(dice, frame, lang)
            made.append({"text": text, "spans": spans, "lang": lang, "form": form})
    return made


def benign() -> list[dict[str, Any]]:
    dice = Random(SEED)
    return [
        {"text": number(dice, frame), "spans": []} for frame in lines(BENIGN) for _ in range(15)
    ]


def main() -> None:
    for name, made in (("templated", rows()), ("benign_templated", benign())):
        written = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        (HERE / f"{name}.jsonl").write_text(written, "utf-8")
        print(f"{name}.jsonl: {len(made)} rows")


if __name__ == "__main__":
    main()
