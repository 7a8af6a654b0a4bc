"""LiteLLM's model groups: entries of one ``model_name`` that stand in for each other.

Entries that differ in nothing but their address are the endpoints of one model. Where they differ
in their key, provider, price or name there, each sort becomes a model of its own, and the group's
name an entrypoint that draws one of them by weight; the others are its fallbacks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wayside.settings.providers import PROVIDERS
from wayside.translate.litellm_deployments import Deployment
from wayside.translate.reading import Ledger, Reader

RESERVED = ("auto", "MoM")
"""Names that ask the router to choose, unless a group has them."""


class Groups:
    """The models made of a ``model_list``, and how each group is entered."""

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.members: dict[str, list[str]] = {}
        """The models of each group, in the order in which they are asked."""
        self.entered: dict[str, list[str]] = {}
        """Further names of a group that is an entrypoint."""
        self._weights: dict[str, float] = {}
        self._first: dict[str, list[str]] = {}
        groups: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            groups.setdefault(deployment.group, []).append(deployment)
        taken = set(groups)
        for name, found in groups.items():
            sorts: dict[str, list[Deployment]] = {}
            for one in found:
                sorts.setdefault(json.dumps(one.shared, sort_keys=True), []).append(one)
            weigh(found)
            if len(sorts) == 1:
                self.models[name] = _model(found, found)
                self.members[name] = [name]
                continue
            self._sorts(name, sorts, found, taken)

    def _sorts(
        self,
        group: str,
        sorts: Mapping[str, list[Deployment]],
        all_: Sequence[Deployment],
        taken: set[str],
    ) -> None:
        self.entered[group] = []
        ranks = {}
        for some in sorts.values():
            name = _free(some[0].label, taken)
            taken.add(name)
            some[0].params.note(
                f"its group has other sorts of deployments, so it is a model of its own, {name!r}",
                "mapped",
            )
            self.models[name] = _model(some, some)
            self._weights[name] = sum(_weight(one)[1] for one in some)
            ranks[name] = min(one.order for one in some)
        first = min(ranks.values())
        self._first[group] = [name for name, rank in ranks.items() if rank == first]
        self.members[group] = sorted(ranks, key=lambda name: ranks[name])

    def names(self) -> Iterator[str]:
        yield from self.members

    def alias(self, alias: str, group: str) -> bool:
        """Whether ``alias`` can be a name of ``group``."""
        held = {a for model in self.models.values() for a in model.get("aliases", ())}
        held |= {a for names in self.entered.values() for a in names}
        if group not in self.members or not 0 < len(alias) <= 256:
            return False
        if alias in held or alias in self.models or alias in self.members:
            return False
        if group in self.entered:
            self.entered[group].append(alias)
        else:
            self.models[group].setdefault("aliases", []).append(alias)
        return True

    def fall_back(self, group: str, others: Sequence[str], on: Sequence[str]) -> None:
        """Models that answer in a group's place; ``others`` are groups that there are."""
        further = [model for other in others for model in self.members[other]]
        for name in self.members[group]:
            model = self.models[name]
            held = [*model.get("fallbacks", ()), *further]
            model["fallbacks"] = [m for m in dict.fromkeys(held) if m != name]
            model["fallback_on"] = list(dict.fromkeys([*model.get("fallback_on", ()), *on]))
            if not model["fallbacks"]:
                del model["fallbacks"], model["fallback_on"]

    def settings(self) -> dict[str, Any]:
        """``models``, and ``recipes`` and ``entrypoints`` where there are groups of several."""
        out: dict[str, Any] = {"models": self.models} if self.models else {}
        for group, more in self.entered.items():
            drawn = self._first[group]
            models = [{"model": name, "weight": self._weights[name]} for name in drawn]
            decision: dict[str, Any] = {"name": "deployments", "models": models}
            if len(models) > 1:
                decision["select"] = "weighted"
            out.setdefault("recipes", {})[group] = {"decisions": [decision]}
            out.setdefault("entrypoints", []).append({"names": [group, *more], "recipe": group})
        named = {*self.models, *self.members}
        if not named.isdisjoint(RESERVED):
            out["auto_names"] = [name for name in RESERVED if name not in named]
        return out

    def between(self) -> None:
        """Deployments of one group stand in for each other before anybody else does."""
        for group in self.entered:
            self.fall_back(group, [group], ("failure", "overload"))


def weigh(found: Sequence[Deployment]) -> None:
    """Say what becomes of weights and of limits by the minute."""
    for one in found:
        for key in ("rpm", "tpm"):
            if key not in one.params:
                one.params.raw(key)
            elif len(found) > 1 and _weight(one)[0] == key:
                said = "it says how much a deployment gets of its group, and limits nothing"
                one.params.note(said, "mapped", key=key)
            else:
                said = "no limit by the minute is kept for a model; those of users: maas.tiers"
                one.params.set_aside(key, said, "unsupported")
        if len(found) == 1:
            one.params.set_aside("weight", "its group has no other deployment", "ignored")


def _weight(one: Deployment) -> tuple[str, float]:
    """As LiteLLM draws: by ``weight``, else by ``rpm``, else by ``tpm``."""
    for key in ("weight", "rpm", "tpm"):
        if key in one.params:
            value = one.params.number(key, low=0, high=1_000_000_000)
            return key, 1.0 if value is None else min(float(value), 1_000_000.0)
    return "", 1.0


def _model(found: Sequence[Deployment], group: Sequence[Deployment]) -> dict[str, Any]:
    """The settings of one model; ``group`` are those that weights are to be compared with."""
    first = found[0]
    model = dict(first.shared)
    if model.get("upstream_name") == first.group and not model.get("provider"):
        del model["upstream_name"]
    same = all(one.timeouts == first.timeouts for one in found)
    if same and first.timeouts:
        model["timeouts"] = dict(first.timeouts)
    ranks = [one.order for one in found]
    endpoints: list[dict[str, Any]] = []
    for one in found:
        endpoint: dict[str, Any] = {}
        if len(group) > 1 and _weight(one)[0]:
            endpoint["weight"] = _weight(one)[1]
        if one.at_once is not None:
            endpoint["max_in_flight"] = one.at_once
        if one.order > min(ranks):
            endpoint["standby"] = True
        if not same and one.timeouts:
            endpoint["timeouts"] = dict(one.timeouts)
        url = one.url or PROVIDERS[model["provider"]].url
        if any(held["url"] == url for held in endpoints):
            one.params.ledger.add(
                one.params.path, "the same deployment twice; left out", "ignored"
            )
            continue
        endpoints.append({"url": url, **endpoint})
    own = len(endpoints) == 1 and not found[0].url and set(endpoints[0]) == {"url"}
    if not own:
        model["endpoints"] = endpoints
    retries = [one.retries for one in found if one.retries is not None]
    if retries:
        model["retries"] = {"attempts": max(retries) + 1}
    return model


def _free(label: str, taken: set[str]) -> str:
    name = label[:240] or "model"
    number = 2
    while name in taken or name in RESERVED:
        name = f"{label[:240]}-{number}"
        number += 1
    return name


def fallbacks(root: Reader, key: str, groups: Groups, ledger: Ledger) -> Iterator[
    tuple[str, list[str]]
]:  # fmt: skip
    """``[{group: [other, ...]}]`` as pairs, those that name groups that there are; ``"*"`` stands
    for every group."""
    for entry in root.each(key):
        for group in entry:
            others = []
            for i, other in enumerate(_list(entry, group)):
                path = entry.at(group)
                path = path if isinstance(entry.raw(group), str) else f"{path}[{i}]"
                if other in groups.members and other != group:
                    others.append(other)
                else:
                    ledger.add(path, "no model_name of this file stands in here", "refused")
            if group != "*" and group not in groups.members:
                entry.note("no model_name of this file", "refused", key=group)
            elif others:
                yield group, others


def _list(entry: Reader, group: str) -> list[str]:
    value = entry.raw(group)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list | tuple):
        entry.note("expected a list of model names", "refused", key=group)
        return []
    return [item if isinstance(item, str) else "" for item in value]
