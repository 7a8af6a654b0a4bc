"""All stores of one router by name, and the answers to asks that need them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from wayside.catalog import catalog
from wayside.settings import CredentialSettings
from wayside.stores.base import Store, Tools, no_keys
from wayside.stores.memory import MemorySettings, MemoryStore
from wayside.vocab.ask import Ask
from wayside.vocab.errors import AskFailed, WaysideError
from wayside.vocab.outcome import Credential
from wayside.vocab.stores import (
    Contents,
    Delete,
    Get,
    Index,
    Listing,
    Put,
    Recall,
    Recalled,
    Release,
    Remember,
    Search,
    Unindex,
)

MEMORY = "memory"
"""The store that needs no settings."""
Count = Callable[[str, str, str, float], None]
"""Store, operation, status (``hit``, ``near``, ``miss``, ``ok`` or ``error``) and seconds."""
Spec = Mapping[str, Mapping[str, Any]]
"""``{kind: settings}``: one value of the settings section ``stores``."""


class Stores:
    """Configured stores and ``memory``. Each is made when first asked, or by :meth:`load`."""

    def __init__(
        self,
        settings: Mapping[str, Spec] | None = None,
        keys: Callable[[CredentialSettings, str], Credential] = no_keys,
        report: Callable[..., None] = lambda event, **fields: None,
        reuse: Stores | None = None,
        count: Count = lambda store, operation, status, seconds: None,
    ) -> None:
        """``reuse`` hands over what an earlier configuration made from the same settings, with
        all that is in it. ``count`` is told what became of each question to a cache."""
        self._count = count
        self._specs: dict[str, Spec] = {MEMORY: {MEMORY: {}}, **(settings or {})}
        self._keys, self._report = keys, report
        self._made: dict[str, Store] = {}
        self._retired: dict[str, Store] = {}
        if reuse is not None:
            for name, store in reuse._made.items():
                if reuse._specs.get(name) == self._specs.get(name):
                    self._made[name] = store
                else:
                    self._retired[name] = store

    def answerers(self) -> dict[type[Ask[Any]], Any]:
        return {
            Recall: lambda ask: self._counted(ask, "recall", lambda s: s.recall(ask)),
            Remember: lambda ask: self._counted(ask, "remember", lambda s: s.remember(ask)),
            Release: lambda ask: self.store(ask.store).release(ask),
            Get: lambda ask: self.store(ask.store).get(ask),
            Put: lambda ask: self.store(ask.store).put(ask),
            Delete: lambda ask: self.store(ask.store).delete(ask),
            Listing: lambda ask: self.store(ask.store).listing(ask),
            Search: lambda ask: self.store(ask.store).search(ask),
            Contents: lambda ask: self.store(ask.store).contents(ask),
            Index: lambda ask: self.store(ask.store).index(ask),
            Unindex: lambda ask: self.store(ask.store).unindex(ask),
        }

    def _counted(
        self, ask: Recall | Remember, operation: str, does: Callable[[Store], Any]
    ) -> Any:
        began = time.perf_counter()
        try:
            found = does(self.store(ask.store))
        except (OSError, WaysideError):
            self._count(ask.store, operation, "error", time.perf_counter() - began)
            raise
        if hasattr(found, "__await__"):
            return self._counted_later(ask, operation, found, began)
        self._count(ask.store, operation, _status(found), time.perf_counter() - began)
        return found

    async def _counted_later(
        self, ask: Recall | Remember, operation: str, pending: Awaitable[Any], began: float
    ) -> Any:
        status = "error"
        try:
            found = await pending
            status = _status(found)
            return found
        finally:
            self._count(ask.store, operation, status, time.perf_counter() - began)

    def open(self) -> None:
        """Let every store that was made begin to connect. Needs a running loop."""
        for store in self._made.values():
            store.open()

    def made(self) -> dict[str, Store]:
        """The stores that are in use, by name."""
        return dict(sorted(self._made.items()))

    def load(self, names: Iterable[str]) -> None:
        """Make these stores now, so that no request waits for it; none connects yet."""
        for name in names:
            self.store(name)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._specs))

    def kind_of(self, name: str) -> str:
        """The kind of a store, for people."""
        return next(iter(self._specs[name]))

    def store(self, name: str) -> Store:
        """The store called ``name``; :class:`AskFailed` when there is none that can be made."""
        found = self._made.get(name)
        if found is None and name in self._specs:
            found = self._made[name] = self._make(name)
        found = found or self._retired.get(name)
        if found is None:
            raise AskFailed(f"no store {name!r}; stores: {', '.join(sorted(self._specs))}")
        return found

    def _make(self, name: str) -> Store:
        ((kind_name, raw),) = self._specs[name].items()
        if kind_name == MEMORY:
            return MemoryStore(MemorySettings.model_validate(raw), self._tools(name))
        kind = catalog.get("store", kind_name)
        if kind is None:
            raise AskFailed(f"store {name!r}: no kind {kind_name!r}")
        try:
            made: Store = kind.build(kind.settings.model_validate(raw), self._tools(name))
        except (ValueError, ImportError) as error:
            raise AskFailed(f"store {name!r}: {error}") from error
        return made

    def _tools(self, name: str) -> Tools:
        return Tools(name, self._keys, self._report)

    def close(self, keep: Stores | None = None) -> None:
        """Close every store that ``keep`` has not taken over."""
        kept = set(map(id, keep._made.values())) if keep else set()
        for store in [*self._made.values(), *self._retired.values()]:
            if id(store) not in kept:
                store.close()


def _status(found: Any) -> str:
    if not isinstance(found, Recalled):
        return "ok"
    if not found.hits:
        return "miss"
    return "hit" if found.hits[0].exact else "near"
