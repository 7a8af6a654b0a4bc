"""The file a trained selector is kept in: one text line, one JSON line, raw arrays.

    wayside-selector 1\\n
    {"algorithm": "knn", "models": [...], "arrays": [["points", [5000, 206]], ...], ...}\\n
    every array in the order of the header, little-endian float32

Reading runs no code from the file, takes no more memory than the file is long, and refuses a file
that is too large, of another version, of other shapes than its algorithm has, or whose arrays do
not have the digest that its header tells. The same selector always gives the same bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from wayside.vocab.taught import Algorithm

MAGIC: Final = b"wayside-selector 1\n"
FAMILY: Final = b"wayside-selector "
MAX_BYTES: Final = 256 << 20
MAX_HEADER: Final = 1 << 20
MAX_MODELS: Final = 256
UNMEASURED: Final = -1.0
"""Stands in ``quality`` and ``seconds`` where a model was not tried."""
Floats = NDArray[np.float32]

SHAPES: Final[dict[Algorithm, dict[str, tuple[str, ...]]]] = {
    "knn": {
        "points": ("rows", "features"),
        "quality": ("rows", "models"),
        "seconds": ("rows", "models"),
    },
    "kmeans": {
        "points": ("rows", "features"),
        "quality": ("rows", "models"),
        "seconds": ("rows", "models"),
    },
    "svm": {
        "points": ("rows", "features"),
        "weights": ("rows", "models"),
        "biases": ("models",),
        "gamma": ("one",),
    },
    "mlp": {
        "inner": ("features", "hidden"),
        "inner_biases": ("hidden",),
        "outer": ("hidden", "models"),
        "outer_biases": ("models",),
    },
}
"""The arrays of each algorithm; a word is a size that is the same wherever it stands."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A trained selector, as its file holds it.

    A prompt's features are its embedding (length one) and, behind it, 1 at its category and 0 at
    the others. ``probe`` is the embedding of :data:`PROBE`, by which another embedder is found
    out. ``facts`` say where it came from and are never read to choose.
    """

    algorithm: Algorithm
    models: tuple[str, ...]
    categories: tuple[str, ...]
    embedder: str
    probe: Floats
    arrays: dict[str, Floats]
    facts: dict[str, Any]

    @property
    def features(self) -> int:
        return len(self.probe) + len(self.categories)


PROBE: Final = "Which of these two models would answer this better, and how do you know?"


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    algorithm: Algorithm
    models: list[str]
    categories: list[str]
    embedder: str
    arrays: list[tuple[str, list[int]]]
    sha256: str
    facts: dict[str, Any]


def write(path: Path, learnt: Learnt) -> None:
    """Write the selector. A file that is there is replaced, not overwritten."""
    arrays = {"probe": learnt.probe, **learnt.arrays}
    payload = b"".join(np.ascontiguousarray(a, "<f4").tobytes() for a in arrays.values())
    header = _Header(
        algorithm=learnt.algorithm,
        models=list(learnt.models),
        categories=list(learnt.categories),
        embedder=learnt.embedder,
        arrays=[(name, list(a.shape)) for name, a in arrays.items()],
        sha256=sha256(payload).hexdigest(),
        facts=learnt.facts,
    )
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    encoded = msgspec.json.encode(header, order="sorted")
    try:
        fresh.write_bytes(MAGIC + encoded + b"\n" + payload)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read(path: Path) -> Learnt:
    """The selector in a file. ``OSError`` where there is none to read; ``ValueError`` says what is
    wrong with one that holds none."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES >> 20} MiB; train with fewer rows")
    if not data.startswith(FAMILY):
        raise ValueError(f"{path} is not a selector of ours: it must begin with {MAGIC!r}")
    if not data.startswith(MAGIC):
        version = data[len(FAMILY) : len(FAMILY) + 20].split(b"\n")[0].decode("ascii", "replace")
        raise ValueError(f"{path} has version {version!r}; this one reads 1: train it again")
    try:
        return _parsed(data)
    except (ValueError, msgspec.DecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train or copy it again") from error


def _parsed(data: bytes) -> Learnt:
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEADER)
    if end < 0:
        raise ValueError("its header has no end")
    header = msgspec.json.decode(data[len(MAGIC) : end], type=_Header)
    payload = memoryview(data)[end + 1 :]
    if sha256(payload).hexdigest() != header.sha256:
        raise ValueError("its arrays have another digest than its header tells")
    _check_names(header)
    arrays: dict[str, Floats] = {}
    at = 0
    for name, shape in header.arrays:
        if name in arrays or not all(0 < size <= MAX_BYTES for size in shape):
            raise ValueError(f"array {name!r} of shape {shape}")
        length = prod(shape)
        if at + 4 * length > len(payload):
            raise ValueError(f"array {name!r} goes beyond the file")
        arrays[name] = np.frombuffer(payload, "<f4", length, at).reshape(shape).astype(np.float32)
        at += 4 * length
    if at != len(payload):
        raise ValueError(f"{len(payload) - at} bytes too many")
    if not all(np.isfinite(a).all() for a in arrays.values()):
        raise ValueError("a number that is none")
    probe = arrays.pop("probe", None)
    if probe is None or probe.ndim != 1:
        raise ValueError("no probe")
    learnt = Learnt(
        algorithm=header.algorithm,
        models=tuple(header.models),
        categories=tuple(header.categories),
        embedder=header.embedder,
        probe=probe,
        arrays=arrays,
        facts=header.facts,
    )
    _check_shapes(learnt)
    return learnt


def _check_names(header: _Header) -> None:
    if not 1 <= len(header.models) <= MAX_MODELS or len(header.categories) > MAX_MODELS:
        raise ValueError(f"{len(header.models)} models, {len(header.categories)} categories")
    for names in (header.models, header.categories):
        if len(set(names)) != len(names):
            raise ValueError("a name twice")


def _check_shapes(learnt: Learnt) -> None:
    wanted = SHAPES[learnt.algorithm]
    if set(learnt.arrays) != set(wanted):
        raise ValueError(f"{learnt.algorithm} has {sorted(wanted)}, not {sorted(learnt.arrays)}")
    sizes = {"models": len(learnt.models), "features": learnt.features, "one": 1}
    for name, words in wanted.items():
        shape = learnt.arrays[name].shape
        if len(shape) != len(words) or any(
            sizes.setdefault(word, size) != size for word, size in zip(words, shape, strict=True)
        ):
            raise ValueError(f"array {name!r} of shape {shape}, expected {words} with {sizes}")
