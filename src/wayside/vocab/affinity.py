"""How well a prompt fits each model's description: the scores of description-based selection.

The formula is vSR's router_dc (``pkg/selection/router_dc.go``). It borrows from RouterDC (Chen et
al. 2024, "Query-Based Router by Dual Contrastive Learning", arXiv:2409.19886) that every model
has a vector and that a query goes to the nearest. Nothing is learnt here: a model's vector is that
of its description.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from wayside.vocab.observed import ModelFacts

TEMPERATURE = 0.07
"""The usual one of contrastive learning (SimCLR, CLIP), and vSR's default."""
MIN_SIMILARITY = 0.3
"""The cosine below which a description says nothing about a prompt (vSR's default)."""
OWN_MIN_SIMILARITY = 0.21
"""The same for the built-in embedder, whose cosines are about 0.7 times as high as those of the
MiniLM-size models that vSR's default is for."""


def described(model: ModelFacts) -> str:
    """The text that stands for a model: what it is for and what it can; ``""`` if nobody says."""
    able = ", ".join(model.capabilities)
    return "\n".join(part for part in (model.description.strip(), able) if part)


def affinity(cosine: float, temperature: float = TEMPERATURE) -> float:
    """sigmoid(cosine / temperature), 0..1 and never a NaN: 0.5 where nothing is shared.

    Worked: cos 0.07 at 0.07 is sigmoid(1) = 0.7311; cos 0.3 is sigmoid(4.2857) = 0.9864.
    """
    x = cosine / temperature
    if x < 0:
        grown = exp(max(x, -700.0))
        return grown / (1.0 + grown)
    return 1.0 / (1.0 + exp(-x))


def affinities(
    cosines: Sequence[float],
    *,
    min_similarity: float = MIN_SIMILARITY,
    temperature: float = TEMPERATURE,
) -> tuple[float | None, ...]:
    """Each model's affinity, in order; ``None`` for one less similar than ``min_similarity``."""
    return tuple([affinity(c, temperature) if c >= min_similarity else None for c in cosines])


def shares(scores: Sequence[float | None]) -> tuple[float, ...]:
    """The softmax of the scores: they add up to 1, and ``None`` has no share. All 0 if all are.

    Worked: affinities 0.9 and 0.7 share e^0.9 : e^0.7, that is 0.5498 and 0.4502.
    """
    held = [s for s in scores if s is not None]
    if not held:
        return (0.0,) * len(scores)
    top = max(held)
    grown = [0.0 if s is None else exp(s - top) for s in scores]
    whole = sum(grown)
    return tuple([g / whole for g in grown])
