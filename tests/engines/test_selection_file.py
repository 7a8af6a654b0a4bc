from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from wayside.engines import selection_file
from wayside.engines.selection_file import MAGIC, Learnt, read, write


def floats(*rows: object) -> selection_file.Floats:
    return np.array(rows, np.float32)


LEARNT = Learnt(
    algorithm="knn",
    models=("big", "small"),
    categories=("law", "math"),
    embedder="embedding",
    probe=floats(0.6, 0.8),
    arrays={
        "points": floats((1, 0, 1, 0), (0, 1, 0, 1), (0.6, 0.8, 0, 0)),
        "quality": floats((1, 0), (0.5, -1), (0, 1)),
        "seconds": floats((2, 1), (4, -1), (3, 0)),
    },
    facts={"questions": 3, "seed": 7},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.selector"
    write(path, LEARNT)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    found = read(file)
    assert found.models == ("big", "small") and found.categories == ("law", "math")
    assert found.algorithm == "knn" and found.features == 4 and found.facts == LEARNT.facts
    assert (found.probe == LEARNT.probe).all()
    for name, array in LEARNT.arrays.items():
        assert (found.arrays[name] == array).all()


def test_the_same_selector_is_the_same_bytes_and_nothing_else_is_left(file: Path) -> None:
    again = file.with_name("b.selector")
    write(again, LEARNT)
    assert again.read_bytes() == file.read_bytes()
    assert sorted(p.name for p in file.parent.iterdir()) == ["a.selector", "b.selector"]


@pytest.mark.parametrize("at", [-1, -20, -60])
def test_a_changed_byte_is_found_out(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="its arrays have another digest"):
        read(file)


def test_no_cut_of_a_file_is_read(file: Path) -> None:
    data = file.read_bytes()
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.selector"):
            read(file)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a selector of ours"),
        (b"\x80\x04\x95pickle", "is not a selector of ours"),
        (b"wayside-linear 1\n{}", "is not a selector of ours"),
        (b"wayside-selector 2\n{}\n", "has version '2'; this one reads 1"),
        (MAGIC + b"{}\n", "damaged"),
        (MAGIC + b"[" * 5000 + b"\n", "damaged"),
        (MAGIC + b"x" * (2 << 20), "its header has no end"),
    ],
)
def test_what_is_no_selector_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=said):
        read(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": ("big",)}, "array 'quality' of shape"),
        ({"models": ("big", "big")}, "a name twice"),
        ({"models": ()}, "0 models"),
        ({"categories": ("law",)}, "array 'points' of shape"),
        ({"algorithm": "mlp"}, "mlp has"),
        ({"probe": floats((1, 2), (3, 4))}, "no probe"),
        ({"arrays": {**LEARNT.arrays, "more": floats(1)}}, "knn has"),
        ({"arrays": {**LEARNT.arrays, "seconds": floats((1, 1))}}, "array 'seconds'"),
        ({"arrays": {**LEARNT.arrays, "seconds": floats((1, np.nan), (1, 1), (1, 1))}}, "none"),
    ],
)
def test_a_file_of_other_shapes_than_its_algorithm_has_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "x"
    write(path, dataclasses.replace(LEARNT, **change))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        read(path)


def test_a_file_that_is_too_large_is_not_read_whole(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection_file, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="is larger than"):
        read(file)
