"""Fit the constants of `wayside.vocab.tokens` to a real tokenizer, and say how far off they are.

    python scripts/fit_tokens.py rows.jsonl

Rows are `{"kind", "text", "split": "fit" | "test", "tokens": N, "others": {NAME: N}}`. Those
behind the constants were counted with o200k_base and cl100k_base, as the npm package gpt-tokenizer
4.0.0 holds them: corpora and language sentences, source code, configurations, manuals, tables,
emoji. Needs numpy and scipy.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from wayside.vocab.tokens import NAMES, counts, estimate_tokens

COMMON = re.split(" ", "en de fr es it pt nl zh ja ko ru ar hi vi tr pl")
"""Languages that weigh more."""


def main(path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    x = np.array([counts(row["text"]) for row in rows], float)
    y = np.array([row["tokens"] for row in rows], float)
    fit = np.array([row["split"] == "fit" for row in rows])
    for name, constant in zip(NAMES, constants(x, y, rows, fit), strict=True):
        print(f"{name:12s} {constant:.3f}")
    report(rows)


def constants(x: Any, y: Any, rows: list[dict[str, Any]], fit: Any) -> Any:
    """Least absolute relative error, by re-weighted non-negative least squares. Each kind of text
    weighs alike, but the most common languages four times as much."""
    kinds = np.array([row["kind"] for row in rows])
    sizes = {kind: (kinds == kind).sum() for kind in set(kinds)}
    weight = np.array(
        [(2 if k.removeprefix("lang:") in COMMON else 1) / np.sqrt(sizes[k]) for k in kinds]
    )
    again = np.ones(len(y))
    found = np.zeros(x.shape[1])
    for _ in range(30):
        scale = weight * again / np.maximum(y, 1)
        found, _ = nnls((x * scale[:, None])[fit], (y * scale)[fit])
        again = 1 / np.sqrt(np.maximum(np.abs(x @ found / np.maximum(y, 1) - 1), 0.03))
    return found


def report(rows: list[dict[str, Any]]) -> None:
    """Relative errors on the rows kept apart: the median, and the size that 90 % stay below."""
    held = [row for row in rows if row["split"] == "test"]
    groups: dict[str, list[dict[str, Any]]] = {"all": held}
    for row in held:
        groups.setdefault(row["kind"], []).append(row)
    print(f"{'':14s}   n  ours            bytes / 4")
    for kind, some in sorted(groups.items()):
        ours = _errors([estimate_tokens([row["text"]]) / row["tokens"] for row in some])
        old = _errors(
            [len(row["text"].encode("utf-8", "replace")) / 4 / row["tokens"] for row in some]
        )
        others = [
            _errors([estimate_tokens([row["text"]]) / row["others"][name] for row in some])
            for name in some[0].get("others", ())
        ]
        print(
            f"{kind:14s} {len(some):4d} ",
            *(f"{m:+.2f} {p:.2f} |" for m, p in [ours, old, *others]),
        )


def _errors(ratios: list[float]) -> tuple[float, float]:
    off = np.array(ratios) - 1
    return float(np.median(off)), float(np.percentile(np.abs(off), 90))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
