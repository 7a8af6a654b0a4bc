"""Who asks, once that is proven, and what of their allowance a request holds.

The gate (:mod:`wayside.maas`) turns a token into a :class:`Caller` before anything else is done
with a request. What the caller may use goes with the request through the journey; what it may
take is reserved before a model is asked, and settled when the answer is over.
"""

from __future__ import annotations

import msgspec

from wayside.vocab.ask import Ask


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

    def may(self, model: str) -> bool:
        """Whether ``model`` may answer this caller."""
        return self.models is None or model in self.models


class Hold(msgspec.Struct, frozen=True):
    """What is set aside for one request until it is known what it took.

    ``id`` is unguessable and used once; ``tokens`` is how many were reserved. ``parts`` are the
    limiter's own.
    """

    id: str
    tokens: int
    parts: tuple[tuple[str, int], ...] = ()


class Over(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that has no room: which one, how large it is, and when there is room again."""

    limit: str
    """For people: ``100 tokens in 1m of tier free``."""
    kind: str = "tokens"
    """``requests``, ``tokens`` or ``budget``."""
    size: int = 0
    remaining: int = 0
    retry_after_s: float = 1.0


class Reserve(msgspec.Struct, Ask["Hold | Over"], frozen=True, kw_only=True):
    """May this caller ask now? ``prompt`` is a bound on the tokens that will be read, ``answer``
    on those that will be written, ``None`` where the client set none."""

    caller: Caller
    model: str
    prompt: int
    answer: int | None = None


class Release(msgspec.Struct, Ask[None], frozen=True):
    """Nothing was sent to a model after all: give back what was held."""

    hold: Hold
