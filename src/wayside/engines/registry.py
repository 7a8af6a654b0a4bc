"""All engines of one router by name, and the answers to asks that need them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools, Vectors, no_keys
from wayside.engines.built_in import BUILT_IN
from wayside.engines.language import LanguageDetector
from wayside.engines.selection_run import Selectors
from wayside.settings import CredentialSettings, Task
from wayside.vocab.ask import (
    Ask,
    Bank,
    Classify,
    Embed,
    Labels,
    Language,
    Mark,
    Similar,
    Spans,
    Vector,
)
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Credential
from wayside.vocab.pictures import Draw, Picture

T = TypeVar("T")
_OWN = "built-in "
"""Before the name of a built-in engine that another of its name needs."""
Spec = Mapping[str, Mapping[str, Any]]
"""``{kind: settings}``: one value of the settings section ``engines``."""


class Stocked(NamedTuple):
    """One engine, for people: ``kind`` is ``built_in`` or the settings' kind."""

    name: str
    kind: str
    tasks: frozenset[Task]
    summary: str
    loaded: bool
    labels: tuple[str, ...]
    """Known once it is loaded, and not to every engine."""


class Engines:
    """Built-in engines and configured ones. Each is made when it is first asked, or by `load`."""

    def __init__(
        self,
        settings: Mapping[str, Spec] | None = None,
        keys: Callable[[CredentialSettings, str], Credential] = no_keys,
        reuse: Engines | None = None,
    ) -> None:
        """``reuse`` hands over what an earlier configuration made from the same settings."""
        self._specs = {name: dict(spec) for name, spec in (settings or {}).items()}
        self._keys = keys
        self._made: dict[str, Engine] = {}
        self._banks: WeakKeyDictionary[Bank, Vectors | Awaitable[Vectors]] = WeakKeyDictionary()
        self._last: tuple[str, str, Any] = ("", "", None)
        """The engine, the text and the vectors of the last text embedded: the signals of one
        request ask about the same text one after another."""
        self._retired: dict[str, Engine] = {}
        """Engines of the earlier configuration that this one has no more: requests that began
        under it still ask them, until it closes them."""
        if reuse is not None:
            for name, engine in reuse._made.items():
                if name not in self._specs and name.removeprefix(_OWN) not in BUILT_IN:
                    self._retired[name] = engine
                elif reuse._specs.get(name) == self._specs.get(name) and not engine.leans:
                    self._made[name] = engine
        self.languages: LanguageDetector = reuse.languages if reuse else LanguageDetector()
        self.selectors = Selectors(self.engine, self._vector)

    def answerers(self) -> dict[type[Ask[Any]], Any]:
        return {
            Classify: self.classify,
            Mark: self.mark,
            Similar: self.similar,
            Embed: self.embed,
            Language: self.language,
            Draw: self.draw,
            **self.selectors.answerers(),
        }

    def draw(self, question: Draw) -> Awaitable[Picture]:
        return asyncio.ensure_future(self.engine(question.engine).draw(question))

    def load(self, names: Iterable[str], banks: Iterable[Bank] = ()) -> None:
        """Make these engines now, so that no request waits for it. Raises what making raises.

        Examples are embedded now too, where the engine does that at once; another embeds them
        when it is first asked.
        """
        for name in names:
            self.engine(name)
        for bank in banks:
            if not inspect.iscoroutinefunction(self.engine(bank.engine).embed):
                self._bank(bank)

    def made(self, name: str) -> bool:
        """Whether an ask of ``name`` finds it made already."""
        return name in self._made

    def inventory(self) -> list[Stocked]:
        """Every engine there is or would be, by name; makes none of them."""
        found = []
        for name in sorted({*BUILT_IN, *self._specs}):
            engine, spec = self._made.get(name), self._specs.get(name)
            if spec is None:
                built_in = BUILT_IN[name]
                kind, tasks, summary = "built_in", frozenset([built_in.task]), built_in.summary
            else:
                ((kind, raw),) = spec.items()
                known = catalog.get("engine", kind)
                engine_class: Any = known.build if known else Engine
                rule = known.settings.model_validate(raw) if known else None
                tasks = engine_class.tasks_of(rule)
                summary = known.summary if known else ""
            labels = engine.labels if engine else ()
            found.append(Stocked(name, kind, tasks, summary, engine is not None, labels))
        return found

    def engine(self, name: str) -> Engine:
        """The engine called ``name``; :class:`AskFailed` when there is none that can be made."""
        found = self._made.get(name) or self._retired.get(name)
        if found is None:
            try:
                found = self._made[name] = self._make(name)
            except (ValueError, ImportError) as error:  # a folder, a file, a missing package
                raise AskFailed(str(error)) from error
        return found

    def close(self, keep: Engines | None = None) -> None:
        """Close every engine that ``keep`` has not taken over."""
        kept = set(map(id, keep._made.values())) if keep else set()
        for engine in self._made.values():
            if id(engine) not in kept:
                engine.close()

    def classify(self, question: Classify) -> Labels | Awaitable[Labels]:
        engine = self.engine(question.head)
        if len(question.text) > engine.at_once:
            return asyncio.ensure_future(_elsewhere(engine.classify, question.text))
        return _begun(engine.classify(question.text))

    def mark(self, question: Mark) -> Spans | Awaitable[Spans]:
        return _begun(self.engine(question.head).mark(question.text, question.context))

    def language(self, question: Language) -> Labels:
        return self.languages.detect(question.text)

    def embed(self, question: Embed) -> tuple[Vector, ...] | Awaitable[tuple[Vector, ...]]:
        found = _begun(self.engine(question.engine).embed(question.texts))
        return _plain(found) if isinstance(found, np.ndarray) else _plain_later(found)

    def similar(self, question: Similar) -> tuple[float, ...] | Awaitable[tuple[float, ...]]:
        bank = self._bank(question.bank)
        text = self._vector(question.bank.engine, question.text)
        if isinstance(bank, np.ndarray) and isinstance(text, np.ndarray):
            return _cosines(bank, text)
        return _cosines_later(bank, text)

    def _bank(self, bank: Bank) -> Vectors | Awaitable[Vectors]:
        found = self._banks.get(bank)
        if found is None or _failed(found):
            found = self._banks[bank] = _begun(self.engine(bank.engine).embed(bank.texts))
        return found

    def _vector(self, engine: str, text: str) -> Vectors | Awaitable[Vectors]:
        name, last, found = self._last
        if name != engine or last != text or _failed(found):
            found = _begun(self.engine(engine).embed((text,)))
            self._last = (engine, text, found)
        return found  # type: ignore[no-any-return]

    def _make(self, name: str) -> Engine:
        spec = self._specs.get(name)
        if spec is None:
            known = BUILT_IN.get(name)
            if known is None:
                there = ", ".join(sorted({*BUILT_IN, *self._specs}))
                raise AskFailed(f"no engine {name!r}; there are: {there}")
            try:
                return known.load()
            except (ImportError, OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or str(error)
                raise AskFailed(f"the built-in engine {name!r} cannot be loaded: {why}") from error
        ((kind_name, raw),) = spec.items()
        kind = catalog.get("engine", kind_name)
        if kind is None:
            raise AskFailed(f"engines.{name}: no engine kind {kind_name!r}")
        rule = kind.settings.model_validate(raw)
        build: Callable[[Any, Tools], Engine] = kind.build
        return build(rule, Tools(name, self._keys, lambda other: self._other(name, other)))

    def _other(self, name: str, other: str) -> Engine:
        """The engine that ``name`` calls ``other``: the built-in one where that is itself."""
        if other != name:
            return self.engine(other)
        key = _OWN + name
        if key not in self._made:
            if name not in BUILT_IN:
                raise AskFailed(f"engines.{name} needs itself")
            self._made[key] = BUILT_IN[name].load()
        return self._made[key]


async def _elsewhere(classify: Callable[[str], Labels | Awaitable[Labels]], text: str) -> Labels:
    found = await asyncio.to_thread(classify, text)
    return await found if inspect.isawaitable(found) else found


def _begun(found: T | Awaitable[T]) -> T | Awaitable[T]:
    """An answer, or work that has already started: asks of one batch run side by side."""
    return asyncio.ensure_future(found) if inspect.iscoroutine(found) else found


def _failed(found: Any) -> bool:
    return isinstance(found, asyncio.Future) and found.done() and found.exception() is not None


def _cosines(bank: Vectors, text: Vectors) -> tuple[float, ...]:
    return tuple((bank @ text[0]).tolist())


async def _cosines_later(
    bank: Vectors | Awaitable[Vectors], text: Vectors | Awaitable[Vectors]
) -> tuple[float, ...]:
    against = bank if isinstance(bank, np.ndarray) else await _shared(bank)
    return _cosines(against, text if isinstance(text, np.ndarray) else await _shared(text))


async def _plain_later(found: Awaitable[Vectors]) -> tuple[Vector, ...]:
    return _plain(await found)


def _plain(found: Vectors) -> tuple[Vector, ...]:
    return tuple(map(tuple, found.tolist()))


async def _shared(pending: Awaitable[T]) -> T:
    """Wait for work that others wait for too: one that gives up does not end it."""
    return await asyncio.shield(pending)
