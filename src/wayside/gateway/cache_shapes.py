"""What the endpoints of the response cache take and answer."""

from __future__ import annotations

import time
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field
from typing_extensions import TypedDict

from wayside.gateway.api import Body
from wayside.stores.base import Which


class Selector(Body):
    """Which answers. Everything given must hold; at least one thing must be given."""

    namespace: str = Field("", max_length=100)
    """The plugin's ``namespace``."""
    recipe: str = Field("", max_length=256)
    """The recipe's name."""
    decision: str = Field("", max_length=256)
    """The decision's name."""
    model: str = Field("", max_length=256)
    """The model that gave the answer."""
    question: str = Field("", max_length=100_000)
    """The last question, word for word. Kept only where answers are found by meaning."""
    older_than_s: float | None = Field(None, ge=0)
    """Kept longer ago than so many seconds."""

    def which(self) -> Which:
        path = (self.namespace, self.recipe, self.decision, self.model)
        before = None if self.older_than_s is None else time.time() - self.older_than_s
        return Which(tuple(quote(part, safe="") for part in path), self.question, before)


class InvalidateRequest(Body):
    """Let some answers go."""

    selector: Selector
    """Which answers."""
    store: str = ""
    """One store's name; every cache that is in use when empty."""
    dry_run: bool = True
    """Only count them."""


class FlushRequest(Body):
    """Let every answer go, by the beginning of a new epoch."""

    store: str = ""
    """One store's name; every cache that is in use when empty."""
    dry_run: bool = False
    """Only count them."""
    confirm: Literal["flush"] | None = None
    """Must be ``flush``, unless it is a dry run."""


class TestPrompt(Body):
    """One of two requests."""

    text: str = ""
    """What the user says."""
    messages: list[dict[str, Any]] | None = None
    """As in a chat completion; takes the place of ``text``."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Request headers, such as who asks; the same user asks both unless they say otherwise."""


class TestRequest(Body):
    """Would the second request be answered with the first one's answer?"""

    first: TestPrompt
    """The request that was answered."""
    second: TestPrompt
    """The request that comes later."""
    model: str = ""
    """A name that routes; the first automatic one when empty."""


class StoreHealth(TypedDict):
    store: str
    kind: str
    mode: str
    healthy: bool
    why: str


class Health(TypedDict):
    status: Literal["healthy", "degraded", "unused"]
    stores: list[StoreHealth]


class StoreStats(TypedDict):
    store: str
    kind: str
    mode: str
    shared: bool
    answers: int | None
    counted_all: bool
    bytes: int | None
    error: str


class Stats(TypedDict):
    stores: list[StoreStats]
    total_entries: int


class Gone(TypedDict):
    store: str
    shared: bool
    answers: int
    epoch: str
    error: str


class Changed(TypedDict):
    dry_run: bool
    answers: int
    stores: list[Gone]


class Entry(TypedDict):
    at: float
    action: str
    by: str
    stores: list[str]
    selector: dict[str, Any]
    dry_run: bool
    answers: int
    errors: int


class Audit(TypedDict):
    entries: list[Entry]
    kept: int


class Went(TypedDict):
    decision: str
    model: str
    cache: str


class Tested(TypedDict):
    shared: bool
    why: str
    similarity: float | None
    first: Went
    second: Went
