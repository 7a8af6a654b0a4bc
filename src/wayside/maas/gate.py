"""Lets requests in: nothing reads a prompt before it is known whose it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec

from wayside.maas import shown
from wayside.maas.callers import Callers
from wayside.vocab.access import Caller
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Request

TOKENS: Final = ("/maas-api/v1/tokens", "/v1/tokens")
KEYS: Final = ("/maas-api/v1/api-keys", "/v1/api-keys")
MODELS: Final = "/maas-api/v1/models"
LOOKUP: Final = "/maas-api/v1/tiers/lookup"
USAGE: Final = "/maas-api/v1/usage"
HEALTH: Final = "/maas-api/health"
JWKS: Final = ("/.well-known/jwks.json", "/maas-api/.well-known/jwks.json")
DISCOVERY: Final = "/v1/models"
_OPEN: Final = frozenset(
    ("/health", "/ready", *TOKENS, *KEYS, MODELS, LOOKUP, USAGE, HEALTH, *JWKS),
)


def opens(path: str) -> bool:
    """Whether the gate lets anybody ask for ``path`` (without its query): probes, public keys, and
    what has its own way to know people. A path is compared as it came, letter by letter, so that
    none of its other spellings is open."""
    if path in _OPEN:
        return True
    above, _, id = path.rpartition("/")
    return above in KEYS and id != ""


class Gate:
    """``visitor`` knows people by their own tokens, which is enough to see models, though not to
    ask any."""

    def __init__(
        self, callers: Callers, visitor: Callable[[str], Awaitable[Caller | None]]
    ) -> None:
        self._callers, self._visitor = callers, visitor

    def __call__(self, request: Request) -> Request | Coroutine[Any, Any, Request]:
        """Raises :class:`RequestError`: 401, 403 and 503."""
        path = request.path.partition("?")[0]
        if opens(path):
            return request
        if request.caller is not None:
            return self._again(request, request.caller)
        shown.refuse_identity(request.headers)
        token = shown.token(request.headers)
        entry = self._callers.recall(token)
        looks = path == DISCOVERY and request.method in ("GET", "HEAD")
        if entry is None or (entry.caller is None and looks):
            return self._enter(request, token, looks)
        return entered(request, entry.caller)

    async def _enter(self, request: Request, token: str, looks: bool) -> Request:
        try:
            caller = await self._callers.find(token)
            if caller is None and looks:
                caller = await self._visitor(token)
        except (AskFailed, TimeoutError, OSError):
            raise shown.unknown() from None
        return entered(request, caller)

    async def _again(self, request: Request, caller: Caller) -> Request:
        """A request of a batch: who asks was proven when that was made. What they may use is
        looked up anew."""
        try:
            return entered(request, await self._callers.again(caller))
        except (AskFailed, TimeoutError, OSError):
            raise shown.unknown() from None


def entered(request: Request, caller: Caller | None) -> Request:
    """The request, with who asks. Raises :class:`RequestError` for whom is nobody, or has no tier
    any more."""
    if caller is None:
        raise shown.invalid()
    if not caller.tier:
        raise shown.forbidden("You are in no tier: no group of yours is in one.", "no_tier")
    return msgspec.structs.replace(request, caller=caller)
