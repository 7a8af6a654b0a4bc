"""What every store is: a name for what it can do, and a method for each of those things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from wayside.settings import Capability, CredentialSettings
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Credential
from wayside.vocab.stores import (
    Contents,
    Delete,
    Get,
    Index,
    Listing,
    Passage,
    Put,
    Recall,
    Recalled,
    Release,
    Remember,
    Search,
    Unindex,
)


def no_keys(settings: CredentialSettings, where: str) -> Credential:
    """Stands in for real keys where nothing will be sent."""
    return Credential(settings.header, settings.prefix, "")


@dataclass(frozen=True, slots=True)
class Tools:
    """What a store is handed when it is built: its name, and how to find keys.

    ``report`` gets what an operator should know: an event's name and its fields.
    """

    name: str = ""
    keys: Callable[[CredentialSettings, str], Credential] = no_keys
    report: Callable[..., None] = lambda event, **fields: None


class Store:
    """Base of every store: says no to everything.

    A method answers at once, on the caller's thread, when that takes microseconds; else it is a
    coroutine. It raises ``OSError``, ``TimeoutError`` or a
    :class:`~wayside.vocab.errors.WaysideError` when it cannot answer. Kinds take
    ``(rule, tools)``.
    """

    capabilities: frozenset[Capability] = frozenset()

    @classmethod
    def capabilities_of(cls, rule: Any) -> frozenset[Capability]:
        """What a store of these settings will do, known before it is built."""
        return cls.capabilities

    # cache

    def recall(self, question: Recall) -> Recalled | Awaitable[Recalled]:
        raise AskFailed(f"{type(self).__name__} is no cache")

    def remember(self, question: Remember) -> Awaitable[None] | None:
        raise AskFailed(f"{type(self).__name__} is no cache")

    def release(self, question: Release) -> Awaitable[None] | None:
        raise AskFailed(f"{type(self).__name__} is no cache")

    # documents

    def get(self, question: Get) -> bytes | Awaitable[bytes | None] | None:
        raise AskFailed(f"{type(self).__name__} keeps no documents")

    def put(self, question: Put) -> Awaitable[None] | None:
        raise AskFailed(f"{type(self).__name__} keeps no documents")

    def delete(self, question: Delete) -> bool | Awaitable[bool]:
        raise AskFailed(f"{type(self).__name__} keeps no documents")

    def listing(
        self, question: Listing
    ) -> tuple[tuple[str, bytes], ...] | Awaitable[tuple[tuple[str, bytes], ...]]:
        raise AskFailed(f"{type(self).__name__} keeps no documents")

    # search

    def search(self, question: Search) -> tuple[Passage, ...] | Awaitable[tuple[Passage, ...]]:
        raise AskFailed(f"{type(self).__name__} finds nothing by meaning")

    def contents(self, question: Contents) -> tuple[Passage, ...] | Awaitable[tuple[Passage, ...]]:
        raise AskFailed(f"{type(self).__name__} does not list passages")

    def index(self, question: Index) -> Awaitable[None] | None:
        raise AskFailed(f"{type(self).__name__} takes no passages")

    def unindex(self, question: Unindex) -> int | Awaitable[int]:
        raise AskFailed(f"{type(self).__name__} takes no passages")

    def close(self) -> None:
        """Let go of connections and files."""
