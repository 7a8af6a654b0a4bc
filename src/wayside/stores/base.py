"""What every store is: a name for what it can do, and a method for each of those things."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import model_validator

from wayside.settings import Capability, CredentialSettings, Settings
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


class PasswordSettings(Settings):
    """A server's password, by reference only.

    Example: ``{file: /run/secrets/redis}``
    """

    env: str | None = None
    """The name of an environment variable."""
    file: str | None = None
    """A path; read again when the file changes."""

    @model_validator(mode="before")
    @classmethod
    def _by_reference(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(  # noqa: TRY004 - pydantic's way to refuse
                "a password is never written here, only where to find it; "
                "write {env: NAME_OF_A_VARIABLE} or {file: /path/to/password}"
            )
        return value

    @model_validator(mode="after")
    def _one_source(self) -> PasswordSettings:
        self.reference()
        return self

    def reference(self) -> CredentialSettings:
        return CredentialSettings(env=self.env, file=self.file, prefix="")

    def found(self, tools: Tools) -> Credential:
        """The password; its ``value`` changes when the file does."""
        return tools.keys(self.reference(), f"stores.{tools.name}")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a store is: ``mode`` says where it keeps things and how it finds them by meaning,
    ``why`` what is wrong where it is not ``ok``."""

    mode: str
    ok: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Which:
    """Which kept answers: those whose partition begins with the parts of ``path`` (an empty part
    stands for any), whose question is ``question`` where there is one, and which were kept before
    ``before``, Unix seconds."""

    path: tuple[str, ...] = ()
    question: str = ""
    before: float | None = None

    def takes(self, partition: str, question: str, kept_at: float) -> bool:
        if self.question and question != self.question:
            return False
        if self.before is not None and kept_at >= self.before:
            return False
        parts = partition.split("/")
        return len(parts) >= len(self.path) and all(
            not wanted or wanted == part for wanted, part in zip(self.path, parts, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Held:
    """How much a store holds: ``answers`` kept, and ``bytes`` of everything in this process.
    ``whole`` is false where counting stopped before the end."""

    answers: int
    bytes: int
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A kept answer, for those who look after a store. ``id`` is how :meth:`Store.discard` knows
    it; ``kept_at`` and ``until`` are in Unix seconds, ``None`` where it does not end."""

    id: str
    partition: str
    question: str
    body: bytes
    kept_at: float
    until: float | None
    bytes: int


@dataclass(frozen=True, slots=True)
class Shelf:
    """Some of what a store keeps: ``looked_at`` so many to find them, and there is ``more``."""

    entries: tuple[Entry, ...]
    looked_at: int
    more: bool


LOOKED_AT = 5_000
"""Answers that one look at a store's shelf goes through."""


def place(space: str) -> tuple[str, str]:
    """A space as collection and part: ``memory/3f2a`` is the part ``3f2a`` of the collection
    ``memory``, ``handbook`` all of a collection that somebody else may fill."""
    collection, _, part = space.partition("/")
    return collection, part


class Store:
    """Base of every store: says no to everything.

    A method answers at once, on the caller's thread, when that takes microseconds; else it is a
    coroutine. It raises ``OSError``, ``TimeoutError`` or a
    :class:`~wayside.vocab.errors.WaysideError` when it cannot answer. Kinds take
    ``(rule, tools)``.
    """

    capabilities: frozenset[Capability] = frozenset()
    shared = False
    """Whether other routers see what it holds."""
    lists = False
    """Whether the answers that it keeps can be looked at."""

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

    # for those who look after it

    def open(self) -> None:
        """Begin to connect, where there is something to connect to. Needs a running loop."""

    def standing(self) -> Standing:
        """How it is, at once."""
        return Standing("in this process")

    async def held(self) -> Held:
        """How much it holds."""
        raise AskFailed(f"{type(self).__name__} is no cache")

    async def forget(self, which: Which, *, dry_run: bool = False) -> int:
        """Let answers go, or only count them: how many."""
        raise AskFailed(f"{type(self).__name__} is no cache")

    async def shelf(self, search: str, limit: int) -> Shelf:
        """Up to ``limit`` answers; with ``search``, those whose question or answer has that text,
        upper and lower case alike. Gives way to requests."""
        raise AskFailed(f"{type(self).__name__} does not list what it keeps")

    async def discard(self, id: str) -> bool:
        """Let one answer go; whether it was there."""
        raise AskFailed(f"{type(self).__name__} does not list what it keeps")

    async def flush(self) -> str:
        """Let every answer go, those under way too; the name of what begins."""
        raise AskFailed(f"{type(self).__name__} is no cache")

    def close(self) -> None:
        """Let go of connections and files."""
