"""Labelled texts against a signal or the decisions: how good are they, on one's own prompts?

One evaluation runs at a time, in slices between requests. What comes of it is kept in a folder.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from wayside.console import measured
from wayside.console.evaluated import Evaluated, Folder
from wayside.console.inside import Inside, note, who
from wayside.console.measured import Measured
from wayside.console.ready import Ready
from wayside.console.shapes import Evaluation, EvaluationChoices
from wayside.console.told import told
from wayside.gateway.api import ApiError, Body, Endpoint, raw_body
from wayside.net.turns import Turns
from wayside.settings.problems import suggest
from wayside.vocab.errors import WaysideError

ROWS: Final = 5_000
LONGEST: Final = 20_000
"""Characters of one text."""
WAITING: Final = 4
"""Evaluations that may wait or run at once."""


class LabelledText(Body):
    """A text, and what ought to be said of it."""

    text: str = Field(min_length=1, max_length=LONGEST)
    """The prompt."""
    label: str = Field(max_length=256)
    """One of the labels of what is evaluated."""


class EvaluateRequest(Body):
    """What to evaluate, and on what."""

    name: str = Field("", max_length=200)
    """For people."""
    signal: str = Field(max_length=300)
    """`decision`, a kind of signal, or one rule: `kind:name`."""
    rows: list[LabelledText] = Field(min_length=1, max_length=ROWS)
    """Labelled texts."""


class Row(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """:class:`LabelledText`, of which thousands are read at once: in a tenth of the time."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    label: Annotated[str, msgspec.Meta(max_length=256)]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """:class:`EvaluateRequest`, the same way."""

    signal: Annotated[str, msgspec.Meta(max_length=300)]
    rows: Annotated[list[Row], msgspec.Meta(min_length=1, max_length=ROWS)]
    name: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Evaluations:
    """Those that run, and those that have ended."""

    def __init__(
        self, inside: Inside, ready: Ready, clock: Callable[[], float] = time.time
    ) -> None:
        self._inside, self._ready, self._clock = inside, ready, clock
        self._folder = Folder(inside.folder)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        gone = (404, "There is no such evaluation.")
        return [
            Endpoint("GET", "/evaluations/choices", self._choices, "What may be evaluated.",
                     answer=EvaluationChoices),
            Endpoint("GET", "/evaluations", self._list, "All of them, the newest first."),
            Endpoint("POST", "/evaluations", self._begin, "Begin one.", role="operator",
                     deed="begin an evaluation", body=EvaluateRequest, answer=Evaluation,
                     refusals=((429, f"{WAITING} are under way."),)),
            Endpoint("GET", "/evaluations/{id}", self._one, "One, with what went wrong.",
                     role="operator", answer=Evaluation, refusals=(gone,)),
            Endpoint("DELETE", "/evaluations/{id}", self._delete, "Stop and forget one.",
                     role="operator", deed="delete an evaluation", refusals=(gone,)),
        ]  # fmt: skip

    async def _choices(self, _: HttpRequest) -> Response:
        answer: EvaluationChoices = {"of": measured.choices(self._inside)}
        return told(answer)

    async def _list(self, _: HttpRequest) -> Response:
        kept = await self._folder.all()
        rows = sorted((one.told() for one in kept.values()), key=lambda one: -one["at"])
        # Whoever may look at the list may not see prompts.
        return told({"evaluations": [{**one, "wrong": [], "curve": []} for one in rows]})

    async def _one(self, http: HttpRequest) -> Response:
        return told((await self._found(http)).told())

    async def _delete(self, http: HttpRequest) -> Response:
        found = await self._found(http)
        note(http, f"evaluation {found.id} ({found.name})")
        task = self._running.pop(found.id, None)
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._folder.forget(found.id)
        return told({"deleted": True})

    async def _found(self, http: HttpRequest) -> Evaluated:
        id = http.path_params["id"]
        found = (await self._folder.all()).get(id)
        if found is None:
            raise ApiError(404, "EVALUATION_NOT_FOUND", f"no evaluation {id[:64]!r}")
        return found

    async def _begin(self, http: HttpRequest) -> Response:
        body = _wanted(await raw_body(http))
        what = measured.measured(self._inside, body.signal)
        await _check(body.rows, what)
        await self._folder.all()
        if len(self._running) >= WAITING:
            said = f"{WAITING} evaluations are under way; wait for one, or remove it"
            raise ApiError(429, "TOO_MANY_EVALUATIONS", said)
        one = Evaluated(
            id=secrets.token_hex(6),
            name=body.name or body.signal,
            of=body.signal,
            at=round(self._clock(), 3),
            by=who(http).name,
            total=len(body.rows),
            threshold=what.threshold,
        )
        note(http, f"evaluation {one.id} of {one.of}")
        await self._folder.keep(one)
        task = asyncio.ensure_future(self._run(one, what, body.rows))
        self._running[one.id] = task
        task.add_done_callback(lambda _: self._running.pop(one.id, None))
        return told(one.told(), 201)

    async def _run(self, one: Evaluated, what: Measured, rows: list[Row]) -> None:
        async with self._turn:
            try:
                await self._ready.all_of(measured.recipe_of(self._inside))
                turns = Turns()
                for row in rows:
                    began = time.perf_counter()
                    said = await what.ask(row.text)
                    one.add(row.text, row.label, said, (time.perf_counter() - began) * 1e3)
                    await turns.rest()
                one.finish(what)
            except asyncio.CancelledError:
                raise
            except WaysideError as error:
                one.fail(str(error))
            except Exception as bug:  # noqa: BLE001 - one evaluation ends here, and says so
                one.fail(f"this is a bug: {type(bug).__name__}")
                self._inside.log("evaluation failed", level="error", error=type(bug).__name__)
            await self._folder.keep(one)


_read: Final = msgspec.json.Decoder(Wanted)


def _wanted(raw: bytes) -> Wanted:
    """Raises :class:`ApiError`, which repeats nothing of any text."""
    try:
        return _read.decode(raw)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        said = f"{where.rstrip('`')}: {what}" if where else what
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = "the body is not JSON"
    raise ApiError(400, "INVALID_INPUT", said)


async def _check(rows: list[Row], what: Measured) -> None:
    """Every label is one of those that can be said. Raises :class:`ApiError`."""
    turns, known = Turns(), frozenset(what.labels)
    for n, row in enumerate(rows):
        if row.label not in known:
            said = suggest(row.label[:64], what.labels, "labels")
            raise ApiError(400, "INVALID_INPUT", f"rows[{n}].label: no {row.label[:64]!r}; {said}")
        await turns.rest()
