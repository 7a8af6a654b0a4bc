"""What can be worked out from signals before decisions look at them.

Partitions keep one winner of several signals, scores add signals up, and mappings name the bands
of a score. Evaluated by :mod:`wayside.decisions.projections`; the names are vSR's (spec 4).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from wayside.settings.base import Name, Settings

PROJECTION = "projection"
"""The kind under which rules and scores name what comes out: ``projection:NAME``."""


def signal_name(text: str) -> str:
    """``text`` if it is ``kind:name``."""
    kind, colon, name = text.partition(":")
    if not (kind and colon and name):
        raise ValueError(f"{text!r} does not name a signal; write kind:name")
    return text


class PartitionSettings(Settings):
    """Signals of which at most one is to stay matched: the most confident.

    Example: ``{name: field, members: [domain:math, domain:law, domain:other], default: domain:other}``
    """  # noqa: E501

    name: Name
    """For people."""
    semantics: Literal["exclusive", "softmax_exclusive"] = "exclusive"
    """Whether the winner keeps its confidence, or has its share among all that matched."""
    temperature: PositiveFloat | None = None
    """For ``softmax_exclusive``, 0.1 when absent: the smaller, the surer the winner."""
    members: Annotated[tuple[str, ...], Field(min_length=2)]
    """``kind:name``; on equal confidence the one listed first wins."""
    default: str | None = None
    """The member that matches, with confidence 0, where none did."""

    @field_validator("members")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for i, member in enumerate(value):
            if member in value[:i]:
                raise ValueError(f"{member!r} is listed twice; remove one")
            if signal_name(member).startswith(f"{PROJECTION}:"):
                raise ValueError(f"{member!r} is worked out after partitions; list signals only")
        return value

    @model_validator(mode="after")
    def _fits(self) -> PartitionSettings:
        if self.default is not None and self.default not in self.members:
            raise ValueError(f"default {self.default!r} is not among the members; add it there")
        if self.temperature is not None and self.semantics != "softmax_exclusive":
            raise ValueError(
                "temperature belongs to semantics: softmax_exclusive; remove it, or say so"
            )
        return self


class ScoreInputSettings(Settings):
    """One signal, and how much it adds.

    Example: ``{signal: keyword:proof, weight: 0.2, value_source: confidence}``
    """

    signal: str
    """``kind:name``, or ``projection:NAME`` for another score or a band."""
    weight: float
    """What the number is multiplied with; negative to subtract."""
    value_source: Literal["binary", "confidence", "raw"] = "binary"
    """``binary``: ``match`` or ``miss``; ``confidence``: ``match`` times the confidence, or
    ``miss``; ``raw``: ``match`` times the number that the signal compared or the score has,
    matched or not, and ``miss`` where there is none."""
    match: float = 1.0
    """Counts for a signal that matched."""
    miss: float = 0.0
    """Counts for a signal that did not."""

    _check_signal = field_validator("signal")(signal_name)


class ScoreSettings(Settings):
    """A number: its inputs, each times its weight, added up.

    Example: ``{name: difficulty, inputs: [{signal: keyword:proof, weight: 0.6}]}``
    """

    name: Name
    """Unique among scores and bands; rules may compare it: ``projection:NAME``."""
    method: Literal["weighted_sum"] = "weighted_sum"
    """How inputs are put together."""
    inputs: Annotated[tuple[ScoreInputSettings, ...], Field(min_length=1)]
    """What is added up."""


class BandSettings(Settings):
    """A name for a range of a score; every bound given must hold.

    Example: ``{name: hard, gte: 0.5, lt: 0.8}``
    """

    name: Name
    """Unique among scores and bands; rules name it ``projection:NAME``."""
    gt: float | None = None
    """The score is greater."""
    gte: float | None = None
    """Greater or equal."""
    lt: float | None = None
    """Less."""
    lte: float | None = None
    """Less or equal."""

    @model_validator(mode="after")
    def _not_empty(self) -> BandSettings:
        low = max((b for b in (self.gt, self.gte) if b is not None), default=None)
        high = min((b for b in (self.lt, self.lte) if b is not None), default=None)
        if low is not None and high is not None:
            shut = self.gt != low and self.lt != high  # both ends belong to it
            if low > high or (low == high and not shut):
                raise ValueError("no number is in it; its lower bound is above its upper one")
        return self


class CalibrationSettings(Settings):
    """How sure a band is, from how far inside the score lies.

    Example: ``{slope: 10}``
    """

    method: Literal["sigmoid_distance"] = "sigmoid_distance"
    """1 / (1 + e^(-slope * distance to the nearest bound)): 0.5 at a bound, towards 1 inside."""
    slope: PositiveFloat = 12.0
    """How fast it grows; vSR's default."""


class MappingSettings(Settings):
    """Names for ranges of a score.

    Example: ``{name: level, source: difficulty, outputs: [{name: easy, lt: 0.5}, {name: hard, gte: 0.5}]}``
    """  # noqa: E501

    name: Name
    """For people."""
    source: Name
    """A score."""
    method: Literal["threshold_bands", "multi_emit"] = "threshold_bands"
    """The first band that holds matches, or all that hold do."""
    outputs: Annotated[tuple[BandSettings, ...], Field(min_length=1)]
    """The bands, in the order they are tried."""
    calibration: CalibrationSettings = CalibrationSettings()
    """How sure a band is."""


class ProjectionSettings(Settings):
    """Partitions, then scores and mappings, each after what it needs.

    Example: ``{scores: [{name: difficulty, inputs: [{signal: keyword:proof, weight: 0.6}]}]}``
    """

    partitions: tuple[PartitionSettings, ...] = ()
    """One winner of several signals; applied in the order written."""
    scores: tuple[ScoreSettings, ...] = ()
    """Numbers made of signals."""
    mappings: tuple[MappingSettings, ...] = ()
    """Names for ranges of scores."""
