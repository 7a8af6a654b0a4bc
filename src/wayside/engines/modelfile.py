"""The file a built-in classifier is kept in: one text line, one JSON line, raw arrays.

    wayside-linear 1\\n
    {"labels": [...], "bits": 20, "rows": 250000, "scales": [...], "biases": [...], ...}\\n
    known    2**bits / 8 bytes      one bit a bucket, lowest first: does it have a row
    weights  rows x columns, int8   what a bucket adds to each column, before `scales`
    spreads  rows, uint8            the bucket's share of the text's squared length

A linear model has one column a label. A deep one (``wayside-deep 1``) has ``width`` columns, which
its layers read, and they follow as little-endian float32: ``out`` (width x labels), ``inner``
(width x hidden), ``inner_biases`` (hidden), ``top`` (hidden x labels).

Reading it takes milliseconds, runs no code from the file, and copies none of the large arrays:
they are mapped, so that all processes that read the same file share its memory. `StaticClassifier`
says how the arrays become probabilities.
"""

import json
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"wayside-linear 1\n"
DEEP: Final = b"wayside-deep 1\n"
USUAL: Final = 100.0  # a usual length of a text's feature vector
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """What a deep model does with a text's columns x: x out + max(0, x inner + b) top."""

    out: Floats  # width x labels
    inner: Floats  # width x hidden
    inner_biases: Floats  # hidden
    top: Floats  # hidden x labels


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """A quantised classifier over hashed features, as its file holds it; deep if it has layers."""

    labels: tuple[str, ...]
    bits: int
    known: NDArray[np.int64]  # bucket numbers that have a row, ascending
    weights: NDArray[np.int8]  # one row a known bucket, one column a label, or `width` columns
    spreads: NDArray[np.uint8]  # one a known bucket
    scales: Floats  # one a column: what one step of an int8 weight is worth
    biases: Floats  # one a label
    unseen: float  # the spread of a bucket without a row
    bend: float  # scores are divided by (length of the text / USUAL) ** bend
    facts: dict[str, Any]  # where it came from; never read to classify
    unknown: str = ""  # the label of a text of which nothing is known; "": see StaticClassifier
    layers: Layers | None = None


def write(path: Path, model: LinearModel) -> None:
    """Writes the model; the same model always gives the same bytes.

    A file that is there is replaced, not overwritten: running routers keep the one they mapped.
    """
    header = {
        "labels": list(model.labels),
        "bits": model.bits,
        "rows": len(model.known),
        "scales": [float(scale) for scale in model.scales],
        "biases": [float(bias) for bias in model.biases],
        "unseen": model.unseen,
        "bend": model.bend,
        "facts": model.facts,
    }
    if model.unknown:
        header["unknown"] = model.unknown
    if model.layers:
        header["width"], header["hidden"] = model.layers.inner.shape
    known = np.zeros(1 << model.bits, np.bool_)
    known[model.known] = True
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as out:
        out.write(DEEP if model.layers else MAGIC)
        out.write(json.dumps(header, sort_keys=True).encode() + b"\n")
        out.write(np.packbits(known, bitorder="little").tobytes())
        out.write(np.ascontiguousarray(model.weights, np.int8).tobytes())
        out.write(np.ascontiguousarray(model.spreads, np.uint8).tobytes())
        for layer in _all(model.layers) if model.layers else ():
            out.write(np.ascontiguousarray(layer, "<f4").tobytes())
    fresh.replace(path)


def read(path: Path) -> LinearModel:
    """The model in a file; `ValueError` says what is wrong with a file that holds none."""
    data = _mapped(path)
    magic = next((one for one in (MAGIC, DEEP) if data[: len(one)] == one), None)
    if magic is None:
        raise ValueError(f"{path} is not a wayside classifier: it must begin with {MAGIC!r}")
    body = data.find(b"\n", len(magic)) + 1
    try:
        header = json.loads(data[len(magic) : body])
        labels, bits, rows = tuple(header["labels"]), int(header["bits"]), int(header["rows"])
        width = int(header["width"]) if magic == DEEP else len(labels)
        hidden = int(header["hidden"]) if magic == DEEP else 0
        shapes = _shapes(width, hidden, len(labels)) if magic == DEEP else ()
        sizes = [(1 << bits) // 8, rows * width, rows, *(4 * a * b for a, b in shapes)]
        if len(data) - body != sum(sizes):
            raise ValueError(f"{len(data) - body} bytes of arrays, expected {sum(sizes)}")
        starts = [body + sum(sizes[:i]) for i in range(len(sizes))]
        flags = np.frombuffer(data, np.uint8, sizes[0], starts[0])
        weights = np.frombuffer(data, np.int8, sizes[1], starts[1])
        layers = [
            np.frombuffer(data, "<f4", a * b, start).astype(np.float32).reshape(a, b)
            for (a, b), start in zip(shapes, starts[3:], strict=True)
        ]
        return LinearModel(
            labels=labels,
            bits=bits,
            known=np.flatnonzero(np.unpackbits(flags, bitorder="little")),
            weights=weights.reshape(rows, width),
            spreads=np.frombuffer(data, np.uint8, sizes[2], starts[2]),
            scales=np.array(header["scales"], np.float32),
            biases=np.array(header["biases"], np.float32),
            unseen=float(header["unseen"]),
            bend=float(header["bend"]),
            facts=header["facts"],
            unknown=str(header.get("unknown", "")),
            layers=Layers(layers[0], layers[1], layers[2][0], layers[3]) if layers else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train or install it again") from error


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b""  # which cannot be mapped
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _shapes(width: int, hidden: int, labels: int) -> tuple[tuple[int, int], ...]:
    return (width, labels), (width, hidden), (1, hidden), (hidden, labels)


def _all(layers: Layers) -> tuple[Floats, ...]:
    return layers.out, layers.inner, layers.inner_biases, layers.top
