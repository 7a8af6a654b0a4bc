"""Prefer servers in the same place: host, zone, region, or whatever labels tell."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PositiveFloat, model_validator

from wayside.catalog import catalog
from wayside.endpoints import Scores
from wayside.settings import Settings
from wayside.vocab.endpoint import Need, Roster

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
NEAR = {HOST: 0.8, ZONE: 0.15, REGION: 0.05}
_MOST = 4_096


class TopologyRule(Settings):
    """Example: ``{mine: {topology.kubernetes.io/zone: eu-west-1a}}``"""

    labels: dict[str, PositiveFloat] = Field(default=NEAR, min_length=1, max_length=16)
    """Labels of servers that tell where they are, and what sharing each is worth."""
    mine: dict[str, str] = Field(default_factory=dict)
    """Where the router itself is: label to value. `${NAME}` takes an environment variable's."""
    header: str | None = None
    """A request header that says where a request wants to go, instead of `mine`:
    ``topology.kubernetes.io/zone=eu-west-1a,kubernetes.io/hostname=n7``."""

    @model_validator(mode="after")
    def _somewhere(self) -> TopologyRule:
        if not self.mine and self.header is None:
            raise ValueError("say where the router is (mine), or which request header tells it")
        strange = sorted(set(self.mine) - set(self.labels))
        if strange:
            raise ValueError(f"mine has {strange[0]}, which labels does not rate")
        return self


@catalog.register("scorer", "topology", settings=TopologyRule, stability="beta")
class TopologyScorer:
    """Prefers servers in the same place as the router, or where the request says.

    The values of the labels that are shared, of those of all ``labels``. With the default ones a
    server on the same host gets 1, one in the same zone 0.2, one in the same region 0.05: as the
    paths between them differ by magnitudes, so do the scores (llm-d's
    ``topology-affinity-scorer``, spec 3.4, does likewise).
    """

    def __init__(self, rule: TopologyRule) -> None:
        total = sum(rule.labels.values())
        self._worth = {label: worth / total for label, worth in rule.labels.items()}
        self._mine = rule.mine
        self._header = rule.header.lower() if rule.header else None
        self.steady = self._header is None

    def score(self, need: Need, roster: Roster) -> Scores:
        said = need.headers.get(self._header) if self._header else None
        place = _place(said) if said else self._mine
        index = roster.memo.get(self)
        if index is None:
            index = roster.memo[self] = self._index(roster)
        scores: dict[int, float] = {}
        for label, value in place.items():
            worth = self._worth.get(label)
            if worth is not None:
                for i in index.get((label, value), ()):
                    scores[i] = min(1.0, scores.get(i, 0.0) + worth)
        return scores

    def _index(self, roster: Roster) -> dict[tuple[str, str], list[int]]:
        """Who is at each place."""
        found: dict[tuple[str, str], list[int]] = {}
        for i, e in enumerate(roster.endpoints):
            for label in self._worth:
                value = e.labels.get(label)
                if value is not None:
                    found.setdefault((label, value), []).append(i)
        return found


def _place(text: str) -> Mapping[str, str]:
    """``a=b,c=d`` as a mapping; what has no ``=`` is nothing."""
    pairs = [part.partition("=") for part in text[:_MOST].split(",")]
    return {label.strip(): value.strip() for label, equals, value in pairs if equals}
