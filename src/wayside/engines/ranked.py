"""What classifiers behind a server have in common: parts of long texts, and rankings from replies.

A server's model has limits that we do not see, so a long text is asked about in overlapping parts
of so many characters, several at once, and the answers are combined like windows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from math import isfinite, prod
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field

from wayside.engines.heads import NONE
from wayside.engines.windows import mean, shares, windows, worst
from wayside.net.http import RemoteSettings
from wayside.settings import Settings
from wayside.vocab.ask import Labels, Span, Spans
from wayside.vocab.errors import AskFailed

T = TypeVar("T")


class PartsSettings(Settings):
    """How a long text is asked about."""

    positive: tuple[str, ...] = ()
    """For guards: the part with the most probability on these decides; else the parts' mean."""
    part_characters: Annotated[int, Field(ge=64, le=4_000_000)] = 4_000
    """A longer text is asked about in parts; neighbours share a tenth."""
    max_parts: Annotated[int, Field(ge=1, le=64)] = 4
    """Of a text that needs more: its beginning, its end, and evenly between."""


class RemotePartsSettings(RemoteSettings, PartsSettings):
    """A classifier behind an HTTP server."""


async def in_parts(
    text: str, rule: PartsSettings, ask: Callable[[str], Awaitable[Labels]]
) -> Labels:
    """Ask about a text, or about all of its parts at once and combine what was said."""
    size = rule.part_characters
    cut = windows(len(text), size, size // 10, rule.max_parts)
    if len(cut) == 1:
        start, end = cut[0]
        return await ask(text[start:end])
    said = await _together([ask(text[start:end]) for start, end in cut])
    labels = tuple(dict.fromkeys(label for ranking in said for label, _ in ranking))
    by_label = [dict(ranking) for ranking in said]
    rows = np.array([[row.get(label, 0.0) for label in labels] for row in by_label], np.float32)
    positive = np.array([label in rule.positive for label in labels])
    if positive.any():
        row = worst(rows, positive)
    else:
        row = mean(rows, np.array([end - start for start, end in cut], np.float32))
    return ranked(dict(zip(labels, row.tolist(), strict=True)))


async def marked_in_parts(
    text: str, rule: PartsSettings, ask: Callable[[str], Awaitable[Spans]]
) -> Spans:
    """Mark a text, or each of its parts by itself; a part keeps what begins in its own share."""
    size = rule.part_characters
    cut = windows(len(text), size, size // 10, rule.max_parts)
    said = await _together([ask(text[start:end]) for start, end in cut])
    found: list[Span] = []
    for (start, _), (first, last), spans in zip(cut, shares(cut), said, strict=True):
        for span in spans:
            at = start + span.start
            if first <= at < last and (not found or at >= found[-1].end):
                found.append(Span(at, start + span.end, span.label, span.score))
    return tuple(found)


async def _together(asks: list[Awaitable[T]]) -> list[T]:
    """All answers; the first failure fails them all, and what is still under way is dropped."""
    tasks = [asyncio.ensure_future(ask) for ask in asks]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def ranked(scores: Mapping[str, float], *, several: bool = False) -> Labels:
    """Scores (0..1) as probabilities that add up to one, best first.

    Scores of labels that exclude each other have to add up to about one already. With
    ``several`` they need not: `none` then gets the probability that no label applies.
    """
    for label, score in scores.items():
        if not (isfinite(score) and -1e-6 <= score <= 1 + 1e-6):
            raise AskFailed(f"the score of {label!r} is {score}, not a probability")
    whole = sum(scores.values())
    found = {label: max(0.0, score) for label, score in scores.items()}
    if several:
        nothing = prod(1.0 - min(1.0, score) for score in found.values())
        share = (1.0 - nothing) / whole if whole > 0 else 0.0
        found = {label: score * share for label, score in found.items()}
        found[NONE] = found.get(NONE, 0.0) + nothing
    elif abs(whole - 1.0) > 0.02:
        raise AskFailed(
            f"the scores of {len(found)} labels add up to {whole:.3f}, not to one; if labels can "
            "apply together, set `several: true`"
        )
    total = sum(found.values())
    pairs = [(label, score / total) for label, score in found.items()]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def chosen(label: str, labels: Sequence[str], certainty: float) -> Labels:
    """A ranking from a bare choice: ``certainty`` for it, the others share the rest."""
    others = [other for other in dict.fromkeys(labels) if other != label]
    if not others:
        return ((label, 1.0),)
    rest = (1.0 - certainty) / len(others)
    return tuple(
        sorted([(label, certainty), *((other, rest) for other in others)], key=lambda p: -p[1])
    )


def read_ranking(found: Any, names: Sequence[str], *, several: bool, certainty: float) -> Labels:
    """A ranking from JSON in any of the shapes that classifiers answer in.

    ``{label: score}``; ``[{label, score}]``; ``{labels: ...}`` or ``{probabilities: ...}`` with
    either; ``{label | class: name or number, confidence?}``, and a list of numbers where
    ``names`` are known. Raises :class:`AskFailed` for anything else.
    """
    about = found if isinstance(found, Mapping) else {}
    for key in ("labels", "probabilities", "scores", "probs"):
        scores = _scores(about.get(key), names)
        if scores:
            return ranked(scores, several=several)
    label = about.get("label", about.get("class", about.get("category")))
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        label = names[label]
    if isinstance(label, str) and label and (not names or label in names):
        told = about.get("confidence", about.get("score", certainty))
        if isinstance(told, int | float) and 0 <= told <= 1:
            return chosen(label, names or (label, f"not {label}"), float(told))
    scores = _scores(found, names)
    if scores:
        return ranked(scores, several=several)
    raise AskFailed("the reply holds no ranking of labels")


def at_path(found: Any, path: str) -> Any:
    """What stands at ``a.0.b`` in JSON; ``None`` when nothing does."""
    for step in path.split(".") if path else ():
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def read_spans(found: Any, length: int, rename: Mapping[str, str]) -> Spans:
    """Spans from ``[{start, end, label, score?}]``, in order; else :class:`AskFailed`."""
    spans: list[Span] = []
    for item in found if isinstance(found, list) else (None,):
        spans.append(_span(item, length, rename))
    spans.sort(key=lambda span: span.start)
    for first, then in pairwise(spans):
        if then.start < first.end:
            raise AskFailed("the reply holds spans that overlap")
    return tuple(spans)


def _span(item: Any, length: int, rename: Mapping[str, str]) -> Span:
    try:
        start, end, label = int(item["start"]), int(item["end"]), str(item["label"])
        score = float(item.get("score", 1.0))
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise AskFailed("the reply holds no list of spans") from error
    if not (0 <= start < end <= length and 0 <= score <= 1):
        raise AskFailed(f"the reply holds a span {start} to {end} of {length} characters")
    return Span(start, end, rename.get(label, label), score)


def _scores(found: Any, names: Sequence[str]) -> dict[str, float] | None:
    """``{label: score}`` from a mapping, a list of pairs or of numbers; else nothing."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(found, Mapping):
        pairs = list(found.items())
    elif isinstance(found, list) and found:
        if all(isinstance(item, Mapping) for item in found):
            pairs = [(item.get("label"), item.get("score")) for item in found]
        elif len(found) == len(names):
            pairs = list(zip(names, found, strict=True))
    scores: dict[str, float] = {}
    for label, score in pairs:
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if not (isinstance(label, str) and label and number):
            return None
        scores[label] = scores.get(label, 0.0) + float(score)
    return scores or None
