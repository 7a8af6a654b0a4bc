"""Works out partitions, scores and bands from verdicts, before decisions look (spec 4).

An input that nobody could evaluate leaves a score between two bounds. A band that the score is in
either way matches, one that it cannot reach does not, and any other is *unknown*, which the
decision's ``on_unknown`` settles: nothing is made up, and nothing is lost that can be known.
"""

from __future__ import annotations

from math import exp, inf
from typing import NamedTuple

import msgspec

from wayside.settings.projections import (
    PROJECTION,
    BandSettings,
    MappingSettings,
    PartitionSettings,
    ScoreSettings,
)
from wayside.vocab.verdict import NO, SignalRef, Verdict, Verdicts

_TEMPERATURE = 0.1


class Range(NamedTuple):
    """Where a score lies; one number when everything about it is known."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        return self.low == self.high

    def __str__(self) -> str:
        return f"{self.low:.4g}" if self.known else f"between {self.low:.4g} and {self.high:.4g}"


Ranges = dict[SignalRef, Range]


def ref_of(text: str) -> SignalRef:
    kind, _, name = text.partition(":")
    return SignalRef(kind, name)


class Partition:
    """Keeps the most confident of its members that matched.

    With ``softmax_exclusive`` the winner's confidence is its share, e^(c/t) / sum of e^(c'/t) over
    the members that matched. Members that are unknown stay so, and take no part; while one is, the
    default is unknown rather than matched, since that member might have matched.
    """

    __slots__ = ("_default", "members", "name", "settings")

    def __init__(self, settings: PartitionSettings) -> None:
        self.settings, self.name = settings, settings.name
        self.members = tuple(ref_of(member) for member in settings.members)
        self._default = ref_of(settings.default) if settings.default else None

    def apply(self, verdicts: dict[SignalRef, Verdict]) -> None:
        matched = [(ref, v) for ref in self.members if (v := verdicts.get(ref, NO)).matched]
        if not matched:
            self._fall_back(verdicts)
            return
        winner, best = max(matched, key=lambda pair: pair[1].confidence)  # the first of equals
        for ref, verdict in matched:
            if ref != winner:
                because = f"{winner} won {self.name}"
                verdicts[ref] = Verdict(False, 0.0, because, verdict.value)
        if self.settings.semantics == "softmax_exclusive" and len(matched) > 1:
            t = self.settings.temperature or _TEMPERATURE
            total = sum(exp((v.confidence - best.confidence) / t) for _, v in matched)
            verdicts[winner] = Verdict(True, 1.0 / total, best.because, best.value)

    def _fall_back(self, verdicts: dict[SignalRef, Verdict]) -> None:
        default = self._default
        if default is None:
            return
        value = verdicts.get(default, NO).value
        missing = [str(ref) for ref in self.members if verdicts.get(ref, NO).unknown]
        if not missing:
            because = f"the default of {self.name}"
            verdicts[default] = Verdict(True, 0.0, because, value)
        elif not verdicts.get(default, NO).unknown:
            because = f"no answer from {', '.join(missing)}"
            verdicts[default] = Verdict(False, 0.0, because, value, unknown=True)


class Input(msgspec.Struct, frozen=True):
    """One input of a score, read from its settings once."""

    ref: SignalRef
    weight: float
    source: str
    match: float
    miss: float

    def adds(self, verdicts: Verdicts, ranges: Ranges) -> Range:
        """What it adds to its score."""
        if not self.weight:
            return Range(0.0, 0.0)  # however much it is unknown
        low, high = self._says(verdicts.get(self.ref, NO), ranges)
        low, high = self.weight * low, self.weight * high
        return Range(low, high) if low <= high else Range(high, low)

    def _says(self, verdict: Verdict, ranges: Ranges) -> tuple[float, float]:
        if self.source == "raw":
            return self._number(verdict, ranges)
        if verdict.unknown:
            # A confidence lies between 0 and 1, so a match may also count for nothing.
            least = self.match if self.source == "binary" else 0.0
            ends = (self.match, self.miss, least)
            return min(ends), max(ends)
        if not verdict.matched:
            return self.miss, self.miss
        number = self.match if self.source == "binary" else self.match * verdict.confidence
        return number, number

    def _number(self, verdict: Verdict, ranges: Ranges) -> tuple[float, float]:
        if self.ref in ranges:
            low, high = ranges[self.ref]
        elif verdict.unknown:
            low, high = -inf, inf
        elif verdict.value is None:
            return self.miss, self.miss
        else:
            low = high = verdict.value
        return (self.match * low, self.match * high) if self.match else (0.0, 0.0)


class Score:
    """A weighted sum."""

    __slots__ = ("inputs", "name", "ref")

    def __init__(self, settings: ScoreSettings) -> None:
        self.name, self.ref = settings.name, SignalRef(PROJECTION, settings.name)
        self.inputs = tuple(
            Input(ref_of(i.signal), i.weight, i.value_source, i.match, i.miss)
            for i in settings.inputs
        )

    @property
    def needs(self) -> tuple[SignalRef, ...]:
        return tuple(i.ref for i in self.inputs)

    def apply(self, verdicts: dict[SignalRef, Verdict], ranges: Ranges) -> None:
        low = high = 0.0
        missing: list[str] = []
        for i in self.inputs:
            least, most = i.adds(verdicts, ranges)
            low, high = low + least, high + most
            if least != most:
                missing.append(str(i.ref))
        found = ranges[self.ref] = Range(low, high)
        if found.known:
            verdicts[self.ref] = Verdict(False, 0.0, "", low)
        else:
            because = f"{found}: no answer from {', '.join(missing)}"
            verdicts[self.ref] = Verdict(False, 0.0, because, unknown=True)


class Bands:
    """Bands of a score."""

    __slots__ = ("_first_only", "_slope", "bands", "name", "source")

    def __init__(self, settings: MappingSettings) -> None:
        self.name = settings.name
        self._first_only = settings.method == "threshold_bands"
        self._slope = settings.calibration.slope
        self.source = SignalRef(PROJECTION, settings.source)
        self.bands = tuple((SignalRef(PROJECTION, o.name), o) for o in settings.outputs)

    @property
    def needs(self) -> tuple[SignalRef, ...]:
        return (self.source,)

    def apply(self, verdicts: dict[SignalRef, Verdict], ranges: Ranges) -> None:
        found = ranges[self.source]
        first_only = self._first_only
        because = f"{self.source.name} {found}"
        earlier = "no"  # whether an earlier band has the score: yes, maybe, no
        for ref, band in self.bands:
            if (first_only and earlier == "yes") or not _reaches(band, found):
                verdicts[ref] = Verdict(False, 0.0, because)
            elif _within(band, found) and not (first_only and earlier == "maybe"):
                verdicts[ref] = Verdict(True, self._confidence(band, found), because)
                earlier = "yes"
            else:
                verdicts[ref] = Verdict(False, 0.0, because, unknown=True)
                earlier = "maybe"

    def _confidence(self, band: BandSettings, found: Range) -> float:
        """1 / (1 + e^(-slope * distance)); a band without bounds is as one that is 1 away (vSR).
        Of a score that lies in a range, the least: distance to bounds is least at an end."""
        bounds = [b for b in (band.gt, band.gte, band.lt, band.lte) if b is not None]
        distance = min((abs(x - b) for x in found for b in bounds), default=1.0)
        return 1.0 / (1.0 + exp(-self._slope * distance))


def _reaches(band: BandSettings, found: Range) -> bool:
    """Whether some number of the range is in the band."""
    return (
        (band.gt is None or found.high > band.gt)
        and (band.gte is None or found.high >= band.gte)
        and (band.lt is None or found.low < band.lt)
        and (band.lte is None or found.low <= band.lte)
    )


def _within(band: BandSettings, found: Range) -> bool:
    """Whether every number of the range is in the band."""
    return (
        (band.gt is None or found.low > band.gt)
        and (band.gte is None or found.low >= band.gte)
        and (band.lt is None or found.high < band.lt)
        and (band.lte is None or found.high <= band.lte)
    )


Node = Score | Bands


class Projections:
    """All of one recipe that something needs, in an order in which each finds what it needs."""

    __slots__ = ("nodes", "partitions")

    def __init__(self, partitions: tuple[Partition, ...], nodes: tuple[Node, ...]) -> None:
        self.partitions, self.nodes = partitions, nodes

    def apply(self, verdicts: Verdicts) -> dict[SignalRef, Verdict]:
        """``verdicts`` as decisions see them: losers no longer matched, bands and scores added."""
        found = dict(verdicts)
        for partition in self.partitions:
            partition.apply(found)
        ranges: Ranges = {}
        for node in self.nodes:
            node.apply(found, ranges)
        return found

    @property
    def refs(self) -> tuple[SignalRef, ...]:
        """The signals it reads."""
        inputs = [ref for node in self.nodes for ref in node.needs if ref.kind != PROJECTION]
        members = [ref for partition in self.partitions for ref in partition.members]
        return tuple(dict.fromkeys([*inputs, *members]))


NONE = Projections((), ())
