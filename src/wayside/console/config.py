"""The configuration file: shown without its keys, edited, checked, rehearsed, saved, rolled back.

What is saved is checked first, whole, as a reload would; then it is written at once over what was
there, whose text is kept; then the router's own watcher puts it in force.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from wayside.console import edits
from wayside.console.file import MAX_BYTES, ConfigFile, File, replace_file
from wayside.console.hidden import Hidden
from wayside.console.inside import Inside, Trial, note, unchanged, who
from wayside.console.lines import Lines
from wayside.console.rehearsal import MOST, Rehearsal
from wayside.console.versions import FOUND, Versions
from wayside.gateway.api import ApiError, Body, Endpoint, error_answer, parsed
from wayside.runtime.reload import digest
from wayside.settings.console import ConsoleSettings
from wayside.vocab.errors import ConfigError

MAX_EDITS: Final = 200
IN_FORCE_S: Final = 20.0
"""For so long a save waits until the watcher has put it in force."""
_MAX_DIFF_LINES: Final = 20_000


class EditBody(Body):
    path: list[str | int] = Field(min_length=1, max_length=edits.MAX_DEPTH)
    value: Any = None
    """Without one, what is there is taken away."""


class EditRequest(Body):
    text: str = Field(max_length=MAX_BYTES)
    edits: list[EditBody] = Field(max_length=MAX_EDITS)


class CheckRequest(Body):
    text: str = Field(max_length=MAX_BYTES)


class RehearseRequest(Body):
    text: str = Field(max_length=MAX_BYTES)
    limit: int = Field(200, ge=1, le=MOST)


class SaveRequest(Body):
    text: str = Field(max_length=MAX_BYTES)
    etag: str = Field(max_length=64)
    """Of the file that was changed: another one is never written over."""
    note: str = Field("", max_length=300)


class RollbackRequest(Body):
    version: str = Field(max_length=64)
    etag: str = Field(max_length=64)


class Refused(Exception):
    """A configuration that cannot be used; answered with every problem."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = problems


class Config:
    """``/config`` and below. One change at a time."""

    def __init__(
        self,
        inside: Inside,
        settings: ConsoleSettings,
        folder: Path,
        *,
        patience_s: float = IN_FORCE_S,
    ) -> None:
        self._inside, self._patience = inside, patience_s
        self.versions = Versions(folder, settings.versions)
        self.file = ConfigFile(inside, settings, self.versions)
        self._hidden = Hidden()
        self._lock, self._editing = asyncio.Lock(), asyncio.Lock()

    def endpoints(self) -> list[Endpoint]:
        def guarded(handler: Callable[[HttpRequest], Any]) -> Any:
            async def answered(http: HttpRequest) -> Response:
                try:
                    found: Response = await handler(http)
                    return found
                except Refused as refused:
                    return _refusal(refused)
                except edits.NotEdited as error:
                    raise ApiError(400, "NOT_EDITED", str(error)) from None

            return answered

        def of(method: str, path: str, handler: Any, summary: str, **more: Any) -> Endpoint:
            return Endpoint(method, f"/config{path}", guarded(handler), summary, **more)

        return [
            of("GET", "", self._shown, "The file, its keys hidden."),
            of("PUT", "", self._save, "Save it, and put it in force.", role="operator",
               deed="change the configuration", body=SaveRequest),
            of("POST", "/edit", self._edit, "A text with some values changed.", body=EditRequest),
            of("POST", "/check", self._check, "What is wrong with a text, and what it changes.",
               role="operator", body=CheckRequest),
            of("POST", "/rehearse", self._rehearse,
               "Where recorded requests would have gone by a text.", role="operator",
               body=RehearseRequest),
            of("POST", "/rollback", self._rollback, "Put an earlier version in force.",
               role="operator", deed="go back to a version", body=RollbackRequest),
            of("GET", "/versions", self._versions, "What was in force before, newest first."),
            of("GET", "/versions/{version}", self._version, "One of them."),
        ]  # fmt: skip

    # shown

    async def _shown(self, _: HttpRequest) -> Response:
        return JSONResponse(await asyncio.to_thread(self._told))

    def _told(self) -> dict[str, Any]:
        file = self.file.now()
        text = self._hidden.hide(_text(file.text))
        try:
            tree = edits.tree(text)
        except ConfigError:
            tree = {}
        return {
            "path": self._inside.state.path,
            "format": self._inside.written().format,
            "text": text,
            "tree": tree,
            "etag": file.etag,
            "writable": not file.why,
            "readonly_because": file.why,
        }

    async def _edit(self, http: HttpRequest) -> Response:
        unchanged(http)
        body = await parsed(http, EditRequest)
        wanted = [
            edits.Edit(edit.path, edit.value)
            if "value" in edit.model_fields_set
            else edits.Edit(edit.path)
            for edit in body.edits
        ]
        try:
            async with self._editing:  # one at a time: it takes long, and viewers may ask
                made = await asyncio.to_thread(edits.edited, body.text, wanted)
                tree = await asyncio.to_thread(edits.tree, made)
        except ConfigError as error:
            raise Refused(self._problems(error, body.text)) from None
        return JSONResponse({"text": made, "tree": tree})

    # tried

    async def _check(self, http: HttpRequest) -> Response:
        unchanged(http)
        body = await parsed(http, CheckRequest)
        async with self._lock:
            problems: list[dict[str, Any]] = []
            waiting: tuple[str, ...] = ()
            try:
                trial = await self._tried(body.text)
                waiting = trial.needs_restart
                trial.drop()
            except Refused as refused:
                problems = refused.problems
            diff, added, removed = await asyncio.to_thread(self._diff, body.text)
        return JSONResponse(
            {
                "ok": not problems,
                "problems": problems,
                "diff": diff,
                "added": added,
                "removed": removed,
                "needs_restart": list(waiting),
            }
        )

    async def _rehearse(self, http: HttpRequest) -> Response:
        unchanged(http)
        body = await parsed(http, RehearseRequest)
        async with self._lock:
            trial = await self._tried(body.text)
            try:
                found = await Rehearsal(self._inside, trial).run(body.limit)
            finally:
                trial.drop()
        return JSONResponse(found)

    async def _tried(self, text: str) -> Trial:
        """The configuration that ``text`` is, prepared. Raises :class:`Refused`."""
        whole = (await asyncio.to_thread(self._revealed, text)).encode()
        return await self._prepared(whole)

    async def _prepared(self, text: bytes) -> Trial:
        try:
            return await asyncio.to_thread(self._inside.tried, text)
        except ConfigError as error:
            raise Refused(self._problems(error, _text(text))) from None

    def _revealed(self, text: str, *more: bytes) -> str:
        known = (self._inside.written().text, self.file.now().text, *more)
        try:
            return self._hidden.reveal(text, *map(_text, known))
        except KeyError as error:
            said = f"{error.args[0]} stands for nothing that is known: load the file again"
            raise ApiError(409, "HIDDEN_VALUE_UNKNOWN", said) from None

    def _problems(self, error: ConfigError, text: str) -> list[dict[str, Any]]:
        lines = Lines(text)
        return [
            {
                "where": problem.where,
                "message": self._hidden.scrub(problem.what, text),
                "fix": self._hidden.scrub(problem.fix, text),
                "line": lines.of(problem.where),
            }
            for problem in error.problems
        ]

    def _diff(self, text: str) -> tuple[str, int, int]:
        """Against what is in force, with hidden keys on both sides."""
        before = self._hidden.hide(_text(self._inside.written().text))
        return difference(before, self._hidden.hide(text))

    # changed

    async def _save(self, http: HttpRequest) -> Response:
        body = await parsed(http, SaveRequest)
        note(http, body.note or "the configuration")
        async with self._lock:
            file = await self._to_be_written(body.etag)
            text = await asyncio.to_thread(self._revealed, body.text)
            await self._put(file, text.encode(), who(http).name, body.note)
        return await self._shown(http)

    async def _rollback(self, http: HttpRequest) -> Response:
        body = await parsed(http, RollbackRequest)
        note(http, f"to version {body.version}")
        async with self._lock:
            text = await asyncio.to_thread(self.versions.text, body.version)
            if text is None:
                raise ApiError(404, "NOT_FOUND", "there is no such version, or it is kept no more")
            file = await self._to_be_written(body.etag)
            await self._put(file, text, who(http).name, f"back to {body.version}")
        return await self._shown(http)

    async def _to_be_written(self, etag: str) -> File:
        file = await asyncio.to_thread(self.file.now)
        if file.why:
            raise ApiError(409, "READ_ONLY", f"the configuration is read-only: {file.why}")
        if file.etag != etag:
            raise ApiError(
                412,
                "CHANGED_MEANWHILE",
                "the file has changed since it was loaded, by an editor or by somebody else: "
                "load it again, and make the change there; nothing was written",
            )
        return file

    async def _put(self, file: File, text: bytes, by: str, said: str) -> None:
        """Check, keep, write, and wait until it is in force. Raises :class:`Refused`."""
        assert file.path is not None
        if text == file.text:
            return
        (await self._prepared(text)).drop()
        state = self._inside.state
        refused = state.refused
        try:
            await asyncio.to_thread(self._write, file, text, by, said)
        except OSError as error:
            why = f"nothing was written: {error.strerror or type(error).__name__}"
            raise ApiError(500, "NOT_WRITTEN", why) from None
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while state.digest != digest(text) and loop.time() < until:
            if state.refused != refused:
                await asyncio.to_thread(replace_file, file.path, file.text)
                error_ = ConfigError.one(state.error or "was refused", fix="the file is as before")
                raise Refused(self._problems(error_, _text(text)))
            await asyncio.sleep(0.05)

    def _write(self, file: File, text: bytes, by: str, said: str) -> None:
        assert file.path is not None
        self.versions.keep(file.text, "", FOUND)
        replace_file(file.path, text)
        self.versions.keep(text, by, said)

    # versions

    async def _versions(self, _: HttpRequest) -> Response:
        kept = await asyncio.to_thread(self.versions.all)
        now = self._inside.state.digest
        current = next((v.version for v in kept if v.digest == now), "")
        return JSONResponse(
            {
                "versions": [
                    {
                        "version": v.version,
                        "at": v.at,
                        "by": v.by,
                        "note": v.note,
                        "digest": v.digest,
                        "in_force": v.version == current,
                    }
                    for v in kept
                ]
            }
        )

    async def _version(self, http: HttpRequest) -> Response:
        version = http.path_params["version"]
        found = await asyncio.to_thread(self.versions.text, version)
        if found is None:
            raise ApiError(404, "NOT_FOUND", "there is no such version, or it is kept no more")
        text = await asyncio.to_thread(self._hidden.hide, _text(found))
        diff, _, _ = await asyncio.to_thread(self._diff, _text(found))
        return JSONResponse({"version": version, "text": text, "diff": diff})


def difference(before: str, after: str) -> tuple[str, int, int]:
    """Unified, and how many lines are added and taken away."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MAX_DIFF_LINES:
        return f"# more than {_MAX_DIFF_LINES:,} lines: not compared", 0, 0
    lines = list(difflib.unified_diff(old, new, "in force", "new", lineterm="", n=3))
    added = sum(line.startswith("+") for line in lines[2:])
    removed = sum(line.startswith("-") for line in lines[2:])
    return "\n".join(lines), added, removed


def _refusal(refused: Refused) -> Response:
    first = refused.problems[0]
    said = f"{first['where']}: {first['message']}".removeprefix(": ")
    more = len(refused.problems) - 1
    whole = f"{said}{f' (and {more} more)' if more else ''}; nothing was changed"
    told = json.loads(bytes(error_answer(422, "CONFIG_REFUSED", whole).body))
    told["error"]["problems"] = refused.problems
    return JSONResponse(told, status_code=422)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
