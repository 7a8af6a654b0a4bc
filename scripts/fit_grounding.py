"""Fits the weights of the grounding checker and says how often it is right.

    python scripts/fit_grounding.py

Reads `corpora/grounding/`; what it prints goes into `wayside/engines/grounding.py` and
docs/reference/models/grounding.md. `heldout.txt` is only measured, never fitted to.
"""

from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from wayside.engines.grounding import BIAS, FEATURES, LEAST, WEIGHTS, GroundingChecker, probability

CORPUS = Path(__file__).parents[1] / "corpora" / "grounding"
Row = tuple[
    str, str, str
]  # source, kind of claim ("verbatim", "paraphrase", or what is wrong), claim
SUPPORTED = ("verbatim", "paraphrase")


def read(path: Path) -> list[Row]:
    """The claims of a file with their sources."""
    rows: list[Row] = []
    source = ""
    for line in path.read_text("utf-8").splitlines():
        sign, _, rest = line.partition(" ")
        if sign == "=":
            source = rest
        elif sign in ("+", "~"):
            rows.append((source, SUPPORTED[sign == "~"], rest))
        elif sign == "-":
            kind, _, claim = rest.partition(" ")
            rows.append((source, kind, claim))
    return rows


def measured(checker: GroundingChecker, rows: list[Row]) -> NDArray[np.float64]:
    """The features of every claim; zeros for what is taken for no claim."""
    found = [checker.measure(claim, source) for source, _, claim in rows]
    return np.array([f[0][1] if f else [0.0] * len(FEATURES) for f in found])


def fit(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 0.3) -> NDArray[np.float64]:
    """Logistic regression by Newton's method; weights below 0 would mean nothing and become 0."""
    x = np.hstack([x, np.ones((len(x), 1))])
    w = np.zeros(x.shape[1])
    free = np.ones(len(w), bool)
    for _ in range(60):
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (p - y) + ridge * np.append(w[:-1], 0)
        bend = (x.T * (p * (1 - p))) @ x + ridge * np.diag(np.append(np.ones(len(w) - 1), 0.001))
        w[free] -= np.linalg.solve(bend[np.ix_(free, free)], slope[free])
        low = np.append(w[:-1] < 0, False)
        w[low], free[low] = 0.0, False
    return w


def report(name: str, rows: list[Row], scores: NDArray[np.float64]) -> None:
    """Precision and recall of `LEAST`, what is marked of each kind, calibration."""
    wrong = np.array([kind not in SUPPORTED for _, kind, _ in rows])
    marked = scores >= LEAST
    hit = int((marked & wrong).sum())
    print(
        f"{name}: {len(rows)} claims, precision {hit / max(1, marked.sum()):.2f}, "
        f"recall {hit / wrong.sum():.2f}, accuracy {(marked == wrong).mean():.2f}, "
        f"Brier score {((scores - wrong) ** 2).mean():.3f}"
    )
    for kind in dict.fromkeys(kind for _, kind, _ in rows):
        of = np.array([k == kind for _, k, _ in rows])
        print(f"  {kind:<11} {int((marked & of).sum()):3d} of {int(of.sum()):3d} marked")


def main() -> None:
    checker = GroundingChecker()
    train, held = read(CORPUS / "claims.txt"), read(CORPUS / "heldout.txt")
    x = measured(checker, train)
    w = fit(x, np.array([kind not in SUPPORTED for _, kind, _ in train], float))
    print("WEIGHTS =", tuple(round(float(v), 2) for v in w[:-1]), "BIAS =", round(float(w[-1]), 2))
    print("in use  =", WEIGHTS, BIAS)
    for name, rows in (("fitted", train), ("held out", held)):
        found = measured(checker, rows)
        report(f"{name}, in use", rows, np.array([probability(list(f)) for f in found]))
        report(f"{name}, as fitted now", rows, 1 / (1 + np.exp(-(found @ w[:-1] + w[-1]))))
    long = " ".join(source for source, _, _ in train * 4)
    answer = " ".join(claim for _, _, claim in train[:10])
    for context in (train[0][0], long[:4_000], long[:16_000]):
        best = min(timed(checker, answer, context) for _ in range(5))
        print(f"10 claims against {len(context):6d} characters: {best * 1e3:.2f} ms")


def timed(checker: GroundingChecker, answer: str, context: str) -> float:
    began = perf_counter()
    checker.find(answer, context)
    return perf_counter() - began


if __name__ == "__main__":
    main()
