"""Every extension point, and everything plugged into it.

A kind is declared once, in its own file. Config schema, docs tables, metric labels and the
``wayside catalog`` listing are all read from here; none is written twice.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

Family = Literal["signal", "selector", "plugin", "engine", "store", "filter", "scorer", "picker"]
Stability = Literal["alpha", "beta", "stable"]
C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True)
class Kind:
    """One pluggable thing: its name in config, what it does, and how to build it."""

    family: Family
    name: str
    summary: str
    settings: type[BaseModel]
    build: Callable[..., Any]
    stability: Stability
    module: str


class Catalog:
    """Kinds by family and name. The only mutable thing at module level."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[Family, str], Kind] = {}
        self._aliases: dict[tuple[Family, str], str] = {}

    def register(
        self,
        family: Family,
        name: str,
        *,
        settings: type[BaseModel],
        stability: Stability = "alpha",
        aliases: tuple[str, ...] = (),
    ) -> Callable[[C], C]:
        """Class decorator: the first line of the docstring becomes the summary.

        ``aliases`` are further names that settings may use; lists name the kind once.
        """

        def add(cls: C) -> C:
            if (family, name) in self._kinds:
                taken = self._kinds[family, name].module
                raise ValueError(f"{family} {name!r} is already registered by {taken}")
            summary = (cls.__doc__ or "").strip().partition("\n")[0]
            self._aliases.update({(family, alias): name for alias in aliases})
            self._kinds[family, name] = Kind(
                family, name, summary, settings, cls, stability, cls.__module__
            )
            return cls

        return add

    def get(self, family: Family, name: str) -> Kind | None:
        return self._kinds.get((family, self._aliases.get((family, name), name)))

    def aliases(self, family: Family) -> dict[str, str]:
        """Further names of kinds of one family, and whose they are."""
        return {alias: name for (f, alias), name in self._aliases.items() if f == family}

    def family(self, family: Family) -> Iterator[Kind]:
        """Kinds of one family, by name."""
        return (k for (f, _), k in sorted(self._kinds.items()) if f == family)

    def names(self, family: Family) -> tuple[str, ...]:
        return tuple(k.name for k in self.family(family))


catalog = Catalog()


def discover(package: ModuleType) -> None:
    """Import every public module of ``package``, so that each registers itself."""
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        if not module.startswith("_"):
            importlib.import_module(f"{package.__name__}.{module}")
