"""The file a built-in classifier is kept in: one text line, one JSON line, three raw arrays.

    wayside-linear 1\\n
    {"labels": [...], "bits": 20, "rows": 250000, "scales": [...], "biases": [...], ...}\\n
    known    2**bits / 8 bytes      one bit a bucket, lowest first: does it have a row
    weights  rows x labels, int8    a bucket's weight for each label, before `scales`
    spreads  rows, uint8            the bucket's share of the text's squared length

Reading it takes milliseconds and runs no code from the file. `StaticClassifier` says how the
arrays become probabilities.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAGIC: Final = b"wayside-linear 1\n"
USUAL: Final = 100.0  # a usual length of a text's feature vector


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """A quantised linear classifier over hashed features, as its file holds it."""

    labels: tuple[str, ...]
    bits: int
    known: NDArray[np.int64]  # bucket numbers that have a row, ascending
    weights: NDArray[np.int8]  # one row a known bucket, one column a label
    spreads: NDArray[np.uint8]  # one a known bucket
    scales: NDArray[np.float32]  # one a label: what one step of an int8 weight is worth
    biases: NDArray[np.float32]  # one a label
    unseen: float  # the spread of a bucket without a row
    bend: float  # scores are divided by (length of the text / USUAL) ** bend
    facts: dict[str, Any]  # where it came from; never read to classify


def write(path: Path, model: LinearModel) -> None:
    """Writes the model; the same model always gives the same bytes."""
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
    known = np.zeros(1 << model.bits, np.bool_)
    known[model.known] = True
    with path.open("wb") as out:
        out.write(MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n")
        out.write(np.packbits(known, bitorder="little").tobytes())
        out.write(np.ascontiguousarray(model.weights, np.int8).tobytes())
        out.write(np.ascontiguousarray(model.spreads, np.uint8).tobytes())


def read(path: Path) -> LinearModel:
    """The model in a file; `ValueError` says what is wrong with a file that holds none."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path} is not a wayside classifier: it must begin with {MAGIC!r}")
    body = data.find(b"\n", len(MAGIC)) + 1
    try:
        header = json.loads(data[len(MAGIC) : body])
        labels, bits, rows = tuple(header["labels"]), int(header["bits"]), int(header["rows"])
        sizes = ((1 << bits) // 8, rows * len(labels), rows)
        if len(data) - body != sum(sizes):
            raise ValueError(f"{len(data) - body} bytes of arrays, expected {sum(sizes)}")
        flags = np.frombuffer(data, np.uint8, sizes[0], body)
        weights = np.frombuffer(data, np.int8, sizes[1], body + sizes[0])
        spreads = np.frombuffer(data, np.uint8, sizes[2], body + sizes[0] + sizes[1])
        return LinearModel(
            labels=labels,
            bits=bits,
            known=np.flatnonzero(np.unpackbits(flags, bitorder="little")),
            weights=weights.reshape(rows, len(labels)),
            spreads=spreads,
            scales=np.array(header["scales"], np.float32),
            biases=np.array(header["biases"], np.float32),
            unseen=float(header["unseen"]),
            bend=float(header["bend"]),
            facts=header["facts"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train or install it again") from error
