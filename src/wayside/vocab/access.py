"""Who asks, once that is proven, and what of their allowance a request holds.

The gate (:mod:`wayside.maas`) turns a token into a :class:`Caller` before anything else is done
with a request. What the caller may use goes with the request through the journey; what it may
take is reserved before a model is asked, and settled when the answer is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wayside.vocab.ask import Ask

if TYPE_CHECKING:
    from wayside.vocab.outcome import Record


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose token was believed.

    ``user`` is what limits count by. ``key`` names the token or key (its ``jti``), never the
    secret. ``models`` are the configured models that may answer; ``None`` is all of them.
    """

    user: str
    groups: tuple[str, ...] = ()
    tier: str = ""
    subscription: str = ""
    tenant: str = ""
    key: str = ""
    models: frozenset[str] | None = None
    account: str = ""
    """The account that the token was made for: another one after each revocation."""

    def may(self, model: str) -> bool:
        """Whether ``model`` may answer this caller."""
        return self.models is None or model in self.models


class Hold(msgspec.Struct, frozen=True):
    """What is set aside for one request until it is known what it took.

    ``id`` is unguessable and used once, or empty where nothing is counted; ``account`` says whose
    counters hold it. ``tokens`` and ``money`` (billionths of the currency) are what was reserved.
    ``cap``, where set, is the most that one choice of the answer may take, to be said to the
    model. ``left`` tells the client what remains. ``prompt`` is what the prompt alone is taken
    for, which is charged where the client leaves before it is counted.
    """

    id: str
    tokens: int = 0
    account: str = ""
    money: int = 0
    cap: int | None = None
    left: tuple[Left, ...] = ()
    prompt: int = 0


class Left(msgspec.Struct, frozen=True, gc=False):
    """What remains of a limit when a request was let in: ``kind`` is ``requests``, itself
    counted, or ``tokens``, without its own, which nobody knows yet."""

    kind: str
    size: int
    remaining: int
    reset_s: float


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that has no room: which one, how large it is, and when there is room again."""

    limit: str
    """For people: ``100 tokens in 1m of tier free``."""
    kind: str = "tokens"
    """``requests``, ``tokens`` or ``budget``."""
    size: int = 0
    remaining: int = 0
    wanted: int = 0
    """What the request might take of it."""
    busy: bool = False
    """Whether it is not used up, but requests that are under way may take the rest."""
    retry_after_s: float = 1.0
    never: bool = False
    """Whether no waiting helps: as it stands, the request is larger than the limit."""


class Reserve(msgspec.Struct, Ask["Hold | Over"], frozen=True, kw_only=True):
    """May this caller ask now? ``estimate`` is what the prompt is taken for, in tokens, and
    ``prompt`` more than it can be. ``answer`` bounds the tokens that will be written, all
    ``choices`` together; ``None`` where the client set no bound. ``usual`` is what each choice is
    taken for then, where its API says it."""

    caller: Caller
    model: str
    prompt: int
    estimate: int
    answer: int | None = None
    choices: int = 1
    usual: int | None = None


class Release(msgspec.Struct, Ask[None], frozen=True):
    """Nothing was sent to a model after all: give back the tokens and the money. The request
    stays counted."""

    hold: Hold


class Leave(msgspec.Struct, Ask[None], frozen=True):
    """The client left before it was decided where its request goes: charge the models that were
    asked until then. ``record`` has them, the caller and the hold."""

    record: Record
    request_id: str
