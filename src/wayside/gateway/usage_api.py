"""What was used, as the ledger has it.

``GET /maas-api/v1/usage`` is for those who ask models, who see their own; ``GET /api/v1/usage`` of
the management API for those who look after the router.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from wayside.gateway.api import Endpoint
from wayside.gateway.further import Further, query, told
from wayside.maas import Maas, shown
from wayside.maas.gate import USAGE
from wayside.maas.usage import BY, FILTERS, Question, added_up, moment, total
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Outcome, Request

PATH: Final = "/api/v1/usage"
QUERY: Final = (
    ("by", f"What to add up by, with commas between: {', '.join(BY)}. Default: user."),
    ("since", "From when on: 24h, 7d, or a date or time of UTC."),
    ("until", "Until when, that moment not included; written as since is."),
    *((name, f"Only this {name}.") for name in FILTERS),
)


class Usage(TypedDict):
    """Sums of requests."""

    by: list[str]
    usage: list[dict[str, Any]]
    """One for each group, and for each currency in it."""
    total: list[dict[str, Any]]
    """One for each currency."""


class UsageApi:
    """Reads what :class:`~wayside.maas.ledger.Ledger` writes."""

    def __init__(self, maas: Maas) -> None:
        self._maas = maas

    def add_to(self, further: Further) -> None:
        further.add("GET", USAGE, lambda request, _: self._asked(request))

    def endpoints(self) -> list[Endpoint]:
        """Of the management API."""

        async def usage(http: HttpRequest) -> Response:
            try:
                return JSONResponse(await self._read(dict(http.query_params)))
            except RequestError as error:
                code = (error.code or "BAD_REQUEST").upper()
                said = {"error": {"code": code, "message": str(error)}}
                return JSONResponse(said, error.status)

        return [
            Endpoint(
                "GET",
                PATH,
                usage,
                "What was used: requests, tokens and cost by user, model, tier, day...",
                answer=Usage,
                role="admin",
                query=QUERY,
                refusals=((404, "no ledger is kept (maas.usage)"),),
            )
        ]

    async def _asked(self, request: Request) -> Outcome:
        """Somebody with a token: their own, or everybody's where an admin shows who they are."""
        try:
            person, ours = await self._maas.asker(request.headers)
        except (OSError, TimeoutError):
            raise shown.unknown() from None
        asked = query(request)
        if ours or not self._maas.is_admin(person):
            if asked.get("user", person.user) != person.user:
                raise RequestError("You may see your own usage only.", status=403, param="user")
            asked["user"] = person.user
        return told(await self._read(asked), headers=(("cache-control", "no-store"),))

    async def _read(self, asked: Mapping[str, str]) -> Usage:
        ledger = self._maas.metering.ledger
        if ledger is None:
            raise RequestError(
                "No ledger is kept: maas.usage is off.", status=404, code="no_ledger"
            )
        unknown = asked.keys() - {name for name, _ in QUERY}
        if unknown:
            said = f"no {min(unknown)!r} to ask by; one of {', '.join(name for name, _ in QUERY)}"
            raise RequestError(said, param=min(unknown)[:64])
        now = self._maas.clock()
        try:
            question = Question(
                by=tuple([n for n in asked.get("by", "user").split(",") if n]),
                since=moment(asked["since"], now) if "since" in asked else None,
                until=moment(asked["until"], now) if "until" in asked else None,
                where={name: asked[name] for name in FILTERS if name in asked},
            )

            def read() -> list[dict[str, Any]]:
                ledger.flushed()
                return added_up(ledger.path, question)

            rows = await asyncio.to_thread(read)
        except FileNotFoundError:
            rows = []  # nobody has asked anything yet
        except ValueError as error:
            raise RequestError(str(error)) from None
        except (OSError, sqlite3.Error) as error:
            self._maas.log("usage not read", level="error", why=str(error))
            raise RequestError(
                "Usage cannot be read now.", status=503, kind="server_error", code="no_usage"
            ) from None
        return {"by": list(question.by), "usage": rows, "total": total(rows)}
