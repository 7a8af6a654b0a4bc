"""Engines that ask other engines: which, and whether that ever ends.

An engine that takes a built-in one's place may name it: ``engines.domain.cascade.first: domain``
is the built-in ``domain``, not the cascade itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wayside.engines import BUILT_IN
from wayside.settings import Capability, EngineOf, StoreOf, Task

Links = Mapping[str, frozenset[str]]
"""The engines that each configured engine asks, by name."""


def named(rule: Any) -> Iterator[tuple[str, str, Task]]:
    """Field, engine and task of every engine that a kind's settings name."""
    for field, info in type(rule).model_fields.items():
        for mark in info.metadata:
            if isinstance(mark, EngineOf) and (name := getattr(rule, field)) is not None:
                yield field, name, mark.task


def stores_named(rule: Any) -> Iterator[tuple[str, str, Capability]]:
    """Field, store and capability of every store that a kind's settings name."""
    for field, info in type(rule).model_fields.items():
        for mark in info.metadata:
            if isinstance(mark, StoreOf) and (name := getattr(rule, field)) is not None:
                yield field, name, mark.capability


def leans_on(name: str, rule: Any) -> frozenset[str]:
    """The engines that the engine ``name`` asks, less the built-in one it takes the place of."""
    others = {other for _, other, _ in named(rule)}
    return frozenset(others - {name} if name in BUILT_IN else others)


def circles(links: Links) -> list[tuple[str, ...]]:
    """Every chain of engines that comes back to its start, told once: ``(a, b, a)``."""
    found: list[tuple[str, ...]] = []
    done: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            found.append((*path[path.index(name) :], name))
        elif name not in done:
            for other in sorted(links.get(name, ())):
                follow(other, (*path, name))
            done.add(name)

    for name in sorted(links):
        follow(name, ())
    return found
