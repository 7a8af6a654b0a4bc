"""A model file as an engine of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

import wayside.runtime  # noqa: F401 - discovers the kinds
from wayside.engines import Engines
from wayside.engines.learn import learn
from wayside.engines.modelfile import write
from wayside.engines.rows import Example
from wayside.engines.train import Recipe
from wayside.vocab.ask import Classify
from wayside.vocab.errors import AskFailed

ROWS = [Example(f"{word} {n}", word) for word in ("apple", "hammer") for n in "abcdefgh"]


def test_a_trained_file_answers_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "things.model"
    write(file, learn(ROWS, Recipe(epochs=15, batch=4, rate=0.01), {}, 300_000).model)
    engines = Engines({"things": {"trained": {"file": str(file)}}})
    found = engines.classify(Classify("an apple", "things"))
    assert isinstance(found, tuple) and found[0][0] == "apple"
    assert engines.engine("things").labels == ("apple", "hammer")
    assert sum(p for _, p in found) == pytest.approx(1)


@pytest.mark.parametrize(("held", "said"), [(None, "none"), (b"PK", "not a wayside classifier")])
def test_a_file_without_a_model_says_so(tmp_path: Path, held: bytes | None, said: str) -> None:
    file = tmp_path / "none"
    if held is not None:
        file.write_bytes(held)
    with pytest.raises((OSError, ValueError, AskFailed), match=said):
        Engines({"things": {"trained": {"file": str(file)}}}).engine("things")
