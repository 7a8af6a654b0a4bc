"""Paths of the data plane beside those on which models are asked: who serves them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from wayside.flow import report
from wayside.settings import IdentitySettings
from wayside.vocab.errors import RequestError
from wayside.vocab.identity import Identity
from wayside.vocab.outcome import HeaderPairs, Outcome, Record, Reply, Request
from wayside.vocab.prompt import Prompt
from wayside.vocab.sharing import Scope, sharers

Found = Outcome | Coroutine[Any, Any, Outcome]
Handler = Callable[[Request, str], Found]
"""Answers a request; the text is what its path has in the place of ``{id}``."""
JSON = "application/json"
MAX_QUERY = 100
"""Parameters of one query."""


class Further:
    """Handlers by method and path (``/v1/files/{id}``). Others are asked in the end, in the order
    in which they were added, and may say ``None``."""

    def __init__(self) -> None:
        self._paths: dict[str, dict[str, Handler]] = {}
        self._last: list[Callable[[Request], Found | None]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        self._paths.setdefault(path, {})[method] = handler

    def add_last(self, handler: Callable[[Request], Found | None]) -> None:
        self._last.append(handler)

    def __call__(self, request: Request) -> Found | None:
        path = request.path.partition("?")[0]
        methods, id = self._paths.get(path), ""
        if methods is None:
            methods, id = self._with_id(path)
        if methods is not None:
            method = "GET" if request.method == "HEAD" else request.method
            handler = methods.get(method)
            if handler is None:
                raise _wrong_method(request.method, path, ", ".join(sorted(methods)))
            return handler(request, id)
        for other in self._last:
            found = other(request)
            if found is not None:
                return found
        return None

    def _with_id(self, path: str) -> tuple[dict[str, Handler] | None, str]:
        """``/v1/files/{id}`` and ``/v1/files/{id}/content``."""
        above, _, last = path.rpartition("/")
        found = self._paths.get(f"{above}/{{id}}")
        if found is not None and last:
            return found, last
        above, _, id = above.rpartition("/")
        return self._paths.get(f"{above}/{{id}}/{last}") if id else None, id


def query(request: Request) -> dict[str, str]:
    """The query's parameters, the first of each. Raises :class:`RequestError` for too many."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(request.path.partition("?")[2], max_num_fields=MAX_QUERY)
    except ValueError:
        raise RequestError(f"The query has more than {MAX_QUERY} parameters.") from None
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def told(body: Any, status: int = 200, headers: HeaderPairs = ()) -> Reply:
    """An answer of our own, as JSON."""
    return raw(msgspec.json.encode(body), status, JSON, headers)


def raw(
    body: bytes, status: int = 200, content_type: str = JSON, headers: HeaderPairs = ()
) -> Reply:
    return Reply(
        status=status,
        body=body,
        content_type=content_type,
        report=(*report.LOCAL, *headers),
        record=Record(path="local"),
    )


def limit_of(asked: Mapping[str, str], default: int, most: int) -> int:
    """The query's ``limit``."""
    try:
        limit = int(asked.get("limit", default))
    except ValueError:
        limit = 0
    if not 1 <= limit <= most:
        raise RequestError(f"limit is a number from 1 to {most}.", param="limit")
    return limit


def identity_of(who: IdentitySettings) -> Identity:
    return Identity(
        who.user_header,
        who.groups_header,
        who.team_header,
        who.tenant_header,
        trusted=who.trusted,
        upstream=who.upstream,
    )


def owner_of(request: Request, identity: Identity, scope: Scope, *, anonymous: bool) -> str:
    """A digest of whose a thing is that is made by this request. Raises :class:`RequestError` for
    nobody, unless that is ``anonymous``."""
    prompt = Prompt(model="", headers=request.headers)
    prompt = identity.told(prompt, request.headers, request.caller)
    found = sharers(prompt, scope)
    if found is None:
        if anonymous and not identity.trusted:
            return ""
        raise RequestError(
            "Files and batches belong to somebody: send a key (Authorization: Bearer ...).",
            status=401,
            code="missing_api_key",
        )
    return hashlib.sha256(repr(found).encode("utf-8", "replace")).hexdigest()[:32]


def identity_headers(request: Request, identity: Identity) -> dict[str, str]:
    """Those that say who asks, where they are believed. Never a key."""
    names = (identity.user, identity.groups, identity.team, identity.tenant)
    if not identity.trusted or request.caller is not None:
        return {}
    return {name: request.headers[name] for name in names if name in request.headers}


def _wrong_method(method: str, path: str, wanted: str) -> RequestError:
    return RequestError(
        f"{path[:256]} takes {wanted}, not {method[:16]}.",
        status=405,
        code="method_not_allowed",
        headers=(("allow", wanted),),
    )
