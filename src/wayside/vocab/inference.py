"""What a cluster says about inference: pools, the urgency of requests, names for models.

The resources of the Gateway API Inference Extension (InferencePool, InferenceObjective,
InferenceModelRewrite), as values. Reading them out of a cluster is :mod:`wayside.kube`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

MAX_WEIGHT = 1_000_000


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An InferencePool: which pods serve, and on which ports."""

    name: str
    namespace: str
    group: str
    selector: tuple[tuple[str, str], ...] = ()
    """Labels that a pod must have, all of them, in the order of their names. Without any, no pod
    belongs: a pool that forgot to say takes nobody's pods."""
    ports: tuple[int, ...] = ()
    """Each is an endpoint of its own on every pod, at most eight, in the order written."""
    app_protocol: str = "http"
    """``http``, or ``kubernetes.io/h2c`` for HTTP/2 without TLS."""

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels belongs."""
        return bool(self.selector) and all(labels.get(k) == v for k, v in self.selector)


class PoolRef(msgspec.Struct, frozen=True):
    """Which pool an objective or a rewrite is for; the pool is of the same namespace."""

    name: str = ""
    group: str = "inference.networking.k8s.io"


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """An InferenceObjective: how urgent the requests are that name it.

    ``priority``: more is more urgent; without one it is 0, and below 0 a request may be shed.
    """

    name: str
    namespace: str
    priority: int = 0
    pool: PoolRef = PoolRef()


class Target(msgspec.Struct, frozen=True):
    """A model to ask instead. ``weight`` is its share against the rule's others, 1..1,000,000."""

    model: str
    weight: int | None = None


class RewriteRule(msgspec.Struct, frozen=True):
    """Requests for any of ``models`` go to one of ``targets``; ``None`` means for every model."""

    models: tuple[str, ...] | None
    targets: tuple[Target, ...]

    def target(self, dice: float) -> str:
        """The model to ask. ``dice`` is uniform in [0, 1).

        Targets share by weight. Where none has a weight they share alike, and where only some
        have, the others get nothing, as in llm-d's picker.
        """
        total = sum(target.weight or 0 for target in self.targets)
        if not total:
            return self.targets[int(dice * len(self.targets))].model
        mark, weighted = dice * total, [t for t in self.targets if t.weight]
        for target in weighted:
            mark -= target.weight or 0
            if mark < 0:
                return target.model
        return weighted[-1].model


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    """An InferenceModelRewrite. ``created`` is its ``creationTimestamp`` (RFC 3339, UTC, whole
    seconds), which sorts as text."""

    name: str
    namespace: str
    created: str = ""
    pool: PoolRef = PoolRef()
    rules: tuple[RewriteRule, ...] = ()


class Rewrites:
    """The rules of several rewrites, by model.

    A rule that names the model goes before one for every model. Among those, the oldest rewrite's
    counts (of two that are as old, the one whose namespace and name come first), and within it
    the first.
    """

    __slots__ = ("_by_model", "_for_all")

    def __init__(self, rewrites: Iterable[Rewrite] = ()) -> None:
        self._by_model: dict[str, tuple[RewriteRule, str]] = {}
        self._for_all: tuple[RewriteRule, str] | None = None
        for rewrite in sorted(rewrites, key=_age):
            for rule in rewrite.rules:
                if not rule.targets:
                    continue
                found = (rule, rewrite.name)
                if rule.models is None:
                    self._for_all = self._for_all or found
                    continue
                for model in rule.models:
                    self._by_model.setdefault(model, found)

    def __bool__(self) -> bool:
        return bool(self._by_model) or self._for_all is not None

    def find(self, model: str) -> tuple[RewriteRule, str] | None:
        """The rule for ``model`` and the name of the rewrite it stands in; none if there is no
        such rule."""
        return self._by_model.get(model, self._for_all)


def _age(rewrite: Rewrite) -> tuple[str, str, str]:
    return rewrite.created or "never", rewrite.namespace, rewrite.name


Named = TypeVar("Named", Objective, Rewrite)


def new_wins(old: Iterable[Named], new: Iterable[Named]) -> list[Named]:
    """Both together; where a namespace and name is in both, only the one of ``new``. A cluster on
    its way from one API group to the next has the same object in either."""
    found = {(item.namespace, item.name): item for item in old}
    found |= {(item.namespace, item.name): item for item in new}
    return list(found.values())
