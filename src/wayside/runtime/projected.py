"""How projections came to what they say, as plain data for people."""

from __future__ import annotations

from math import isinf
from typing import Any

from wayside.decisions.projections import (
    Bands,
    Partition,
    Projections,
    Range,
    Ranges,
    Score,
)
from wayside.vocab.verdict import NO, Verdicts


def projected(projections: Projections, verdicts: Verdicts) -> dict[str, Any]:
    """Winners, scores with what added to them, and bands; ``verdicts`` are those decisions saw."""
    ranges: Ranges = {}
    work = dict(verdicts)
    for node in projections.nodes:  # partitions are in the verdicts already
        node.apply(work, ranges)
    nodes = projections.nodes
    return {
        "partitions": [_partition(p, verdicts) for p in projections.partitions],
        "scores": [_score(n, verdicts, ranges) for n in nodes if isinstance(n, Score)],
        "mappings": [_bands(n, verdicts, ranges) for n in nodes if isinstance(n, Bands)],
    }


def _partition(partition: Partition, verdicts: Verdicts) -> dict[str, Any]:
    winner = next((r for r in partition.members if verdicts.get(r, NO).matched), None)
    return {
        "partition": partition.name,
        "winner": str(winner) if winner else None,
        "confidence": round(verdicts[winner].confidence, 4) if winner else None,
        "members": [
            {"signal": str(ref), "because": verdicts.get(ref, NO).because}
            for ref in partition.members
        ],
    }


def _score(score: Score, verdicts: Verdicts, ranges: Ranges) -> dict[str, Any]:
    return {
        "score": score.name,
        **_range(ranges[score.ref]),
        "inputs": [
            {"signal": str(i.ref), "weight": i.weight, **_range(added)}
            for i in score.inputs
            if (added := i.adds(verdicts, ranges)) != (0.0, 0.0)
        ],
    }


def _bands(bands: Bands, verdicts: Verdicts, ranges: Ranges) -> dict[str, Any]:
    return {
        "mapping": bands.name,
        "source": bands.source.name,
        **_range(ranges[bands.source]),
        "bands": [
            {
                "band": band.name,
                "holds": None if (v := verdicts.get(ref, NO)).unknown else v.matched,
                "confidence": round(v.confidence, 4),
                "bounds": band.model_dump(exclude={"name"}, exclude_none=True),
            }
            for ref, band in bands.bands
        ],
    }


def _range(found: Range) -> dict[str, Any]:
    """A number, or two where inputs are unknown; ``None`` for an end that is nowhere."""
    if found.known:
        return {"value": round(found.low, 4)}
    low, high = (None if isinf(x) else round(x, 4) for x in found)
    return {"value": None, "between": [low, high]}
