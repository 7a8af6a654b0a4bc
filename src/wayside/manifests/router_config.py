"""A router's configuration file, in our own format: put together, checked and written.

What the operator and the deploy tool share. Whoever runs a router reads the file in the end, and
checks it once more; here it is checked before anything is sent to a cluster.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

import wayside.selection
from wayside.catalog import catalog, discover
from wayside.decisions import leaves, parse_ref
from wayside.decisions.projection_order import compile_projections
from wayside.settings import RouterSettings
from wayside.settings.problems import problems_from
from wayside.vocab.errors import Problem

discover(wayside.selection)


def merge(settings: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``extra`` over ``settings``: mappings are merged, anything else is replaced."""
    out = dict(settings)
    for key, value in extra.items():
        known = out.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        out[key] = merge(known, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return out


def written(settings: Mapping[str, Any], head: Iterable[str] = ()) -> str:
    """YAML, the same for the same settings, below comments."""
    body = yaml.dump(
        dict(settings),
        Dumper=_Plain,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=99,
    )
    return "\n".join([*(f"# {line}" for line in head), body])


def digest(text: str) -> str:
    """As the router computes it of its file."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_Fast: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Libyaml's, where PyYAML has it: the same text in a tenth of the time."""


class _Plain(_Fast):  # type: ignore[misc]
    """No anchors: what is written twice stands there twice, for people."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def of_kinds(settings: RouterSettings) -> list[Problem]:
    """What algorithms and plugins say against their own settings, and projections against each
    other; signals have been built already."""
    problems: list[Problem] = []
    for name, routing in {"": settings.routing, **settings.recipes}.items():
        where = f"recipes.{name}" if name else "routing"
        wrong: list[Problem] = []
        refs = [parse_ref(leaf.signal or "") for d in routing.decisions for leaf in leaves(d.when)]
        compile_projections(routing.projections, refs, f"{where}.projections", wrong)
        problems += wrong
        for i, decision in enumerate(routing.decisions):
            at = f"{where}.decisions[{i}]"
            algorithm, rule = decision.selector
            uses = [("selector", algorithm, rule, f"{at}.select.{algorithm}")]
            uses += [("plugin", k, r, f"{at}.plugins.{k}") for k, r in decision.plugins.items()]
            for family, kind_name, given, place in uses:
                kind = catalog.get("selector" if family == "selector" else "plugin", kind_name)
                if kind is None:
                    problems.append(Problem(f"there is no such {family}", place))
                    continue
                try:
                    kind.settings.model_validate(given)
                except ValidationError as error:
                    problems += problems_from(error, kind.settings, place)
    return problems
