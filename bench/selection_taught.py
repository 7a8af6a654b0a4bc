"""What trained selectors add to a request, beside the domain classifier in the same run.

    python bench/selection_taught.py

Prints the least of seven means over 400 everyday prompts, in microseconds, and the ratio to one
classification: the machine's mood cancels out of that. 1,200 made-up questions are learnt from.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from wayside.engines import Engines, families, selection_file, selection_train
from wayside.engines.selection_fit import FITS, Choices
from wayside.engines.selection_rows import Question
from wayside.vocab.ask import Classify
from wayside.vocab.observed import ModelFacts
from wayside.vocab.taught import Nearest, Scored, Taught


def main() -> None:
    engines, dice = Engines(), random.Random(1)
    file = families.corpora() / "domain/heldout.jsonl"
    prompts = [json.loads(line)["text"] for line in file.read_text("utf-8").splitlines()][:400]
    base = least(prompts, lambda text: engines.classify(Classify(text, "domain")))
    sys.stdout.write(f"domain  {base:6.1f} µs\n")
    asked = [f"{text} {i}" for i in range(3) for text in prompts]
    questions = [
        Question(t, "", {m: dice.random() for m in "ab"}, dict.fromkeys("ab", 1.0)) for t in asked
    ]
    domain: Any = engines.engine("domain")
    embed: Any = engines.engine("embedding").embed
    eyes = selection_train.Eyes("embedding", embed, domain.classify, domain.labels)
    with tempfile.TemporaryDirectory() as folder:
        for algorithm in sorted(FITS):
            learnt, _ = selection_train.learn(questions, algorithm, eyes, Choices())
            path = Path(folder) / algorithm
            selection_file.write(path, learnt)
            taught = Taught(algorithm, str(path))
            taught.meet((ModelFacts(name="a"), ModelFacts(name="b")))
            engines.selectors.load(taught)
            ask = Nearest if algorithm in ("knn", "kmeans") else Scored
            answer = engines.answerers()[ask]
            took = least(
                prompts, lambda text, ask=ask, on=taught, to=answer: to(ask(text, "math", on))
            )
            sys.stdout.write(f"{algorithm:<7} {took:6.1f} µs  {took / base:.2f} of that\n")


def least(prompts: list[str], work: Callable[[str], Any]) -> float:
    """Microseconds a prompt: the least of seven means."""
    found = []
    for _ in range(7):
        began = perf_counter()
        for text in prompts:
            work(text)
        found.append((perf_counter() - began) / len(prompts) * 1e6)
    return min(found)


if __name__ == "__main__":
    main()
