"""Questions to selectors that were trained from measurements: what did models do with prompts like
this one?

A :class:`Taught` names the file and the models that may be chosen; answers are in the order of its
models, so nobody carries names around.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from wayside.vocab.ask import Ask, Classify, Flow, ask
from wayside.vocab.observed import ModelFacts

Algorithm = Literal["kmeans", "knn", "mlp", "svm"]


class Taught:
    """A trained selector as one decision uses it.

    ``file`` is what ``wayside train selection`` wrote for ``algorithm``; ``embedder`` and
    ``classifier`` are the engines that see a prompt as the training saw its rows. ``models`` are
    the decision's, filled in when they are known. Equal only to itself, so that an engine reads
    and checks the file once.
    """

    __slots__ = ("__weakref__", "algorithm", "classifier", "embedder", "file", "models")

    def __init__(
        self,
        algorithm: Algorithm,
        file: str,
        embedder: str = "embedding",
        classifier: str = "domain",
    ) -> None:
        self.algorithm: Algorithm = algorithm
        self.file, self.embedder, self.classifier = file, embedder, classifier
        self.models: tuple[str, ...] = ()

    def meet(self, facts: tuple[ModelFacts, ...]) -> None:
        """Take note of the decision's models, each once."""
        self.models = tuple(dict.fromkeys(model.name for model in facts))

    def __repr__(self) -> str:
        return f"Taught({self.algorithm!r}, {self.file!r})"


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What the models did with one prompt of the training, or with a group of them.

    ``likeness`` is the cosine of its features to the prompt's, 0..1 for most. ``quality`` and
    ``speed`` (1 at once, 0 the slowest of the training) hold a value a model, 0..1, and ``None``
    for a model that was not measured there.
    """

    likeness: float
    quality: tuple[float | None, ...]
    speed: tuple[float | None, ...]


class Nearest(msgspec.Struct, Ask[tuple[Outcome, ...]], frozen=True):
    """What did the models do with the ``most`` prompts most like ``text``? The likest first."""

    text: str
    category: str
    taught: Taught
    most: int = 1


class Scored(msgspec.Struct, Ask[tuple[float, ...]], frozen=True):
    """What score has each model for ``text``? Higher is better."""

    text: str
    category: str
    taught: Taught


def category(text: str, taught: Taught) -> Flow[str]:
    """The prompt's domain, which is part of what a trained selector knows it by."""
    ranked = yield from ask(Classify(text, taught.classifier))
    return ranked[0][0] if ranked else ""


def per_candidate(
    values: Sequence[float | None], taught: Taught, models: Sequence[str]
) -> tuple[float | None, ...]:
    """Values in the order of ``taught``'s models, as the ``models`` of candidates want them: the
    same model may stand there twice, with and without reasoning."""
    return tuple([values[taught.models.index(model)] for model in models])


def best(scores: Sequence[float | None], ties: Sequence[float | None] = ()) -> int:
    """Where the greatest score stands; of equals the one with the greatest of ``ties``, then the
    first. ``None`` is less than any number."""
    least = float("-inf")

    def rank(i: int) -> tuple[float, float]:
        score, tie = scores[i], ties[i] if ties else None
        return (least if score is None else score, least if tie is None else tie)

    return max(range(len(scores)), key=rank)
