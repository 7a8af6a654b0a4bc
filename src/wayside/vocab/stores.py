"""Questions to stores: what was kept earlier, and what to keep.

A *store* is a name from the settings section ``stores`` (``memory`` is always there). Whoever asks
chooses spaces and keys so that nobody finds what belongs to somebody else; a store knows nothing
of tenants.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wayside.vocab.ask import Ask, Vector

# Cached answers


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A kept answer. ``similarity`` is the cosine of its question's vector to the one asked for,
    and 1 for an ``exact`` hit. ``kept_at`` is in Unix seconds."""

    body: bytes
    question: str
    kept_at: float
    similarity: float = 1.0
    exact: bool = True


class Recalled(msgspec.Struct, frozen=True):
    """What a cache has, best first. ``leads``: nobody else is asking the same thing, so whoever
    got this must :class:`Remember` or :class:`Release` the key."""

    hits: tuple[Hit, ...] = ()
    leads: bool = False


class Recall(msgspec.Struct, Ask[Recalled], frozen=True):
    """Which answers does the cache ``store`` hold for this?

    Only entries of ``partition`` are looked at: first the one kept under ``key``, then, where
    there is a ``vector``, up to ``most`` whose cosine to it is at least ``threshold``. With
    ``wait_s`` a second asker of a key that somebody leads waits that long for the answer. With an
    empty ``key`` only the vector is looked for, and nobody leads.
    """

    store: str
    partition: str
    key: str
    vector: Vector | None = None
    threshold: float = 1.0
    most: int = 8
    wait_s: float = 0.0


class Remember(msgspec.Struct, Ask[None], frozen=True):
    """Keep an answer for ``ttl_s`` seconds, and let those who wait for its key have it."""

    store: str
    partition: str
    key: str
    body: bytes
    ttl_s: float
    question: str = ""
    vector: Vector | None = None


class Release(msgspec.Struct, Ask[None], frozen=True):
    """There will be no answer under this key: whoever waits for it goes on alone."""

    store: str
    partition: str
    key: str


# Documents


class Get(msgspec.Struct, Ask[bytes | None], frozen=True):
    """The document ``key`` of ``space``, or ``None``."""

    store: str
    space: str
    key: str


class Put(msgspec.Struct, Ask[None], frozen=True):
    """Keep a document, in the place of an earlier one; for ever without ``ttl_s``. With ``most``
    the oldest of the space go while it holds more than so many."""

    store: str
    space: str
    key: str
    value: bytes
    ttl_s: float | None = None
    most: int | None = None


class Delete(msgspec.Struct, Ask[bool], frozen=True):
    """Forget a document; whether there was one."""

    store: str
    space: str
    key: str


class Listing(msgspec.Struct, Ask[tuple[tuple[str, bytes], ...]], frozen=True):
    """The documents of ``space``, the newest first."""

    store: str
    space: str
    limit: int = 100
    offset: int = 0


# Texts found by meaning


class Passage(msgspec.Struct, frozen=True, gc=False):
    """A text that was found. ``score`` is its cosine, or what the server calls its relevance."""

    key: str
    text: str
    score: float
    metadata: dict[str, Any] = {}


class Search(msgspec.Struct, Ask[tuple[Passage, ...]], frozen=True):
    """The ``most`` passages of ``space`` nearest to ``text``, best first, none scored below
    ``threshold``. ``vector`` is the text's, where the store does not embed by itself."""

    store: str
    space: str
    text: str
    vector: Vector | None = None
    most: int = 5
    threshold: float = 0.0


class Contents(msgspec.Struct, Ask[tuple[Passage, ...]], frozen=True):
    """The passages of ``space``, the newest first; their ``score`` is 0."""

    store: str
    space: str
    limit: int = 100
    offset: int = 0


class Index(msgspec.Struct, Ask[None], frozen=True):
    """Keep a passage to be found by :class:`Search`, in the place of an earlier one. With ``most``
    the oldest of the space go while it holds more than so many."""

    store: str
    space: str
    key: str
    text: str
    vector: Vector
    metadata: dict[str, Any] = {}
    ttl_s: float | None = None
    most: int | None = None


class Unindex(msgspec.Struct, Ask[int], frozen=True):
    """Forget the passage ``key``, or all of ``space`` where it is empty; how many went."""

    store: str
    space: str
    key: str = ""
