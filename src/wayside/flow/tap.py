"""What happens to an answer on its way back: the filters that plugins hung on it.

A whole answer is read, filtered and encoded again. A stream is taken apart event by event; what
a filter releases goes on at once, what it holds follows in a later event. Everything that carries
no text passes as the bytes it came in. Nothing here knows who reads the bytes, so both shells
behave alike.

Filters read OpenAI's shapes. Where the model's server or the client speaks another API, a stage
before the filters, and one after them, translates (:mod:`wayside.dialects.stage`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, decode, encode
from wayside.dialects.answers import (
    DONE,
    JSON,
    STREAM,
    Channel,
    Kind,
    Slot,
    carries_nothing,
    comes_whole,
    ending,
    event,
    event_with,
    finished,
    instead,
    slots,
    spoken,
    strays,
)
from wayside.dialects.stage import Failed, ServerStage, Stage, Unreadable
from wayside.dialects.whole import Answer
from wayside.flow import report
from wayside.plugins import Blocked, MakeFilter, ReplyFilter, Witness
from wayside.vocab.ask import Flow, Now, ask
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Ended, HeaderPairs, Taken

MAX_BODY = 64 << 20
MAX_EVENT = 4 << 20
"""Bytes of a whole answer and of one event that are held; a longer one is stopped, not passed
unseen."""
MAX_WITNESSED = 8 << 20
"""Bytes of an answer held for those who are told of it when it has ended; of a longer one they
learn that it was not complete."""
MAX_CHANNELS = 1024
"""Choices, and texts under way, of one answer; the API allows 128 choices."""
_BOUNDARY = re.compile(rb"\r?\n\r?\n|\r\r")
_BOM = b"\xef\xbb\xbf"
_KINDS: tuple[Kind, ...] = ("text", "reasoning", "arguments", "other")
_FIELDS = frozenset({b"data", b"event", b"id", b"retry"})
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class ReplyTap:
    """Filters one answer. ``begin``, then ``feed`` for every chunk, then ``finish``, once each;
    and in the end, whatever happened before, ``settle``.

    Without filters and stages the bytes pass as they are, and are only held for the witnesses,
    who are told of an answer in OpenAI's shape. With a stage, errors are taken, too.
    """

    __slots__ = (
        "_chains",
        "_choices",
        "_client",
        "_complete",
        "_content_type",
        "_ended",
        "_held",
        "_makers",
        "_searched",
        "_stands_in",
        "_started",
        "_status",
        "_taken",
        "_template",
        "_upstream",
        "_wanted",
        "_witnessed",
        "_witnesses",
        "content_type",
        "detail",
        "reason",
        "warnings",
    )

    def __init__(
        self,
        makers: Sequence[MakeFilter],
        witnesses: Sequence[Witness] = (),
        upstream: ServerStage | None = None,
        client: Stage | None = None,
        *,
        stands_in: str = "",
    ) -> None:
        """``stands_in``: the model that answers in another one's place."""
        self._upstream, self._client = upstream, client
        self._stands_in = stands_in
        self.content_type = ""
        """What the answer is once it was translated; ``""`` leaves what its server says."""
        self._makers = tuple(makers)
        self._witnesses = tuple(witnesses)
        self._witnessed = bytearray()
        self._status = 0
        self._content_type = ""
        self._complete = False
        self._chains: dict[Channel, list[ReplyFilter]] = {}
        self._choices: dict[int, None] = {}
        self._wanted: dict[tuple[Kind, ...], bool] = {}
        self._held = bytearray()
        self._searched = 0
        """Bytes of what is held in which no event ends."""
        self._started = False
        self._template: dict[str, Any] = {"object": "chat.completion.chunk"}
        self._taken: Taken = "pass"
        self._ended = False
        self.detail = ""
        """What an engine that did not answer said, for the operator's log alone."""
        self.reason = ""
        """Why the answer was stopped, or ``""``."""
        self.warnings: dict[str, None] = {}

    def begin(self, status: int, content_type: str) -> Taken:
        """How the body will be taken; an answer that is no success is translated at most, and one
        of 204 has none."""
        self._status, self._content_type = status, content_type
        kind = content_type.partition(";")[0].strip().lower()
        if 200 <= status < 300 and status != 204:
            self._taken = "stream" if kind == STREAM else "whole"
        elif self._staged and status >= 300 and status != 304:
            self._taken = "whole"
        if self._staged and self._taken == "whole":
            self.content_type = JSON
        return self._taken

    @property
    def _staged(self) -> bool:
        return self._upstream is not None or self._client is not None

    def feed(self, chunk: bytes) -> Flow[bytes]:
        """What goes on to the client now that ``chunk`` has come."""
        if self._taken == "pass":
            return chunk
        if self._ended:
            return b""
        if self._taken == "whole":
            self._held += chunk
            if len(self._held) > MAX_BODY:
                self._held.clear()
                self._ended, self.reason = True, "too_large"
            return b""
        read = chunk
        if self._upstream is not None:
            yield from self._date(self._upstream)
            try:
                read = self._upstream.feed(chunk)
            except Unreadable as error:
                return self._garbled(error)
        return self._say((yield from self._filtered(read)))

    def _date(self, stage: ServerStage) -> Flow[None]:
        """Tell a stage the time, once."""
        if not stage.created:
            with suppress(AskFailed):
                stage.created = int((yield from ask(Now())))

    def _filtered(self, chunk: bytes) -> Flow[bytes]:
        """What the filters release of a stream now that ``chunk`` has come."""
        if not self._makers or not chunk:
            return chunk
        self._held += chunk
        out: list[bytes] = []
        at, search = 0, self._searched
        while not self._ended and (found := _BOUNDARY.search(self._held, search)):
            raw = bytes(self._held[at : found.end()])
            at = search = found.end()
            out.append((yield from self._event(raw)))
        del self._held[:at]
        self._searched = max(0, len(self._held) - 3)
        if len(self._held) > MAX_EVENT and not self._ended:
            out.append(self._stop(_unreadable("too_large")))
        return b"".join(out)

    def _say(self, released: bytes) -> bytes:
        """``released`` as the client reads it."""
        self._witness(released)
        if self._client is None or not released:
            return released
        try:
            return self._client.feed(released)
        except Unreadable as error:
            return self._garbled(error)

    def _garbled(self, error: Unreadable) -> bytes:
        """End a stream that is not what its server's API says."""
        self._ended, self.reason, self.detail = True, "unreadable", str(error)
        self._held.clear()
        said = event(_error(_unchecked("it is not what its server's API says"))) + DONE
        return said if self._client is None else self._client.feed(said)

    def finish(self) -> Flow[Ended]:
        """The rest of a stream, or the whole answer, with what is to be said about it."""
        if self._taken == "whole":
            ended = yield from self._whole()
            if ended.status is None and not ended.reason:
                self._witness(ended.body)
                self._complete = not self.reason
            return self._translated(ended)
        rest = b""
        if self._taken == "stream" and not self._ended:
            try:
                rest = b"" if self._upstream is None else self._upstream.finish()
                rest = self._say((yield from self._last(rest)))
                if self._client is not None and not self.reason:
                    rest += self._client.finish()
            except Unreadable as error:
                rest = self._garbled(error)
            self._complete = not self.reason
        return Ended(body=rest, reason=self.reason)

    def _last(self, read: bytes) -> Flow[bytes]:
        """What the filters release when ``read`` was the last of a stream."""
        rest: bytes = yield from self._filtered(read)
        tail = bytes(self._held)
        if tail.strip() and not self._ended:  # an event that the end of the stream ends
            rest += yield from self._event(tail + b"\n\n")
        if not self._ended:
            rest += yield from self._flush()
        return rest

    def _translated(self, ended: Ended) -> Ended:
        """A whole answer as the client reads it."""
        if self._client is None or not ended.body:
            return ended
        try:
            body = self._client.whole(ended.status or self._status, ended.body)
        except Unreadable as error:
            self.reason, self.detail = "unreadable", str(error)
            ended = _refused(_unchecked("it is not what its server's API says"))
            body = self._client.whole(ended.status or 502, ended.body)
        return msgspec.structs.replace(ended, body=body)

    def settle(self) -> Flow[None] | None:
        """Tell the witnesses how it went."""
        if not self._witnesses:
            return None
        complete = self._complete and len(self._witnessed) <= MAX_WITNESSED
        answer = Answer(
            status=self._status,
            content_type=self._content_type,
            body=bytes(self._witnessed),
            complete=complete,
            warnings=tuple(self.warnings),
            path="fallback" if self._stands_in else "",
            model=self._stands_in,
        )
        self._witnessed = bytearray()
        witnesses, self._witnesses = self._witnesses, ()
        return tell(witnesses, answer)

    def _witness(self, data: bytes) -> None:
        """Hold what goes to the client; a byte more than is wanted says that it was too long."""
        if self._witnesses and len(self._witnessed) <= MAX_WITNESSED:
            self._witnessed += data[: MAX_WITNESSED + 1]

    # streams

    def _event(self, raw: bytes) -> Flow[bytes]:
        if not self._started:
            self._started = True
            raw = raw.removeprefix(_BOM)
        data = _data(raw)
        if data is None:
            return self._stop(_unreadable())
        if not data:
            return raw
        if data.strip() == b"[DONE]":
            rest = yield from self._flush()
            if self._ended:
                return rest
            return rest + self._told() + raw
        try:
            said, _ = decode(_decoder, data)
        except UNREADABLE:
            return self._stop(_unreadable())
        if not isinstance(said, dict):
            return self._stop(_unreadable())
        if said.get("choices"):
            self._template = said
        out: list[bytes] = []
        try:
            touched = yield from self._filter_event(said, out)
        except Blocked as blocked:
            return b"".join([*out, self._stop(blocked)])
        except AskFailed as failed:
            self.detail = str(failed)
            return b"".join([*out, self._stop(_unjudged())])
        if not touched:
            return b"".join([*out, raw])
        if carries_nothing(said):
            return b"".join(out)
        return b"".join([*out, event(said)])

    def _filter_event(self, said: dict[str, Any], out: list[bytes]) -> Flow[bool]:
        """Put every text of an event through its filters; whether the event changed. ``out``
        takes events that go before it."""
        ends = finished(said)
        found = list(slots(said))
        touched = yield from self._filter_strays(said, found, whole=False)
        for channel, holder, key in found:
            self._choices[channel.choice] = None
            before = holder[key]
            holder[key] = yield from self._through(channel, before, False)
            touched = touched or holder[key] != before
        if max(len(self._chains), len(self._choices)) > MAX_CHANNELS:
            raise _unreadable("too_large")
        for channel in list(self._chains) if ends else ():
            if channel.choice in ends:
                held = yield from self._through(channel, "", True)
                last = [slot for slot in found if slot.channel == channel]
                if held and last:
                    last[-1].holder[last[-1].key] += held
                    touched = True
                elif held:
                    out.append(event_with(said, channel, held))
        return touched

    def _filter_strays(
        self, said: dict[str, Any], found: list[Slot], *, whole: bool
    ) -> Flow[bool]:
        """What stands in an answer beside the texts that we know; whether any of it changed.

        A whole answer's is filtered, each text on its own. In a stream nobody knows which pieces
        make one text, so what may be a piece of one does not go out.
        """
        if not self._watches(_KINDS):
            return False
        if spoken(said):
            raise _unchecked("it is spoken")
        texts, encoded = strays(said, found)
        for holder, key in encoded:
            holder[key] = None
        touched = bool(encoded)
        if not texts or not self._watches(("other",)):
            return touched
        for slot in texts:
            channel, holder, key = slot
            before, after = holder[key], ""
            if whole or comes_whole(slot):
                after = yield from self._run(self._made(channel), before, True)
            holder[key] = after
            touched = touched or after != before
        return touched

    def _flush(self) -> Flow[bytes]:
        """What is still held when the stream ends without having said that a choice is over."""
        out: list[bytes] = []
        try:
            for channel in list(self._chains):
                held = yield from self._through(channel, "", True)
                if held:
                    out.append(event_with(self._template, channel, held))
        except Blocked as blocked:
            out.append(self._stop(blocked))
        except AskFailed as failed:
            self.detail = str(failed)
            out.append(self._stop(_unjudged()))
        return b"".join(out)

    def _stop(self, blocked: Blocked) -> bytes:
        """End the stream here. What comes after is not passed on."""
        self._ended, self.reason = True, blocked.reason
        self._held.clear()
        if blocked.refuse:
            return event(_error(blocked)) + DONE
        return ending(
            self._template, blocked.message, list(self._choices) or [0], "content_filter"
        )

    def _told(self) -> bytes:
        """Warnings, as a comment that every reader of event streams skips."""
        if not self.warnings:
            return b""
        return f": x-vsr-response-warnings: {','.join(self.warnings)}\n\n".encode()

    # whole answers

    def _whole(self) -> Flow[Ended]:
        if self._ended:
            return _refused(_unchecked("it is too large"))
        raw = bytes(self._held)
        if self._upstream is not None:
            yield from self._date(self._upstream)
            try:
                raw = self._upstream.whole(self._status, raw)
            except Unreadable as error:
                self.reason, self.detail = "unreadable", str(error)
                if isinstance(error, Failed):
                    return Ended(body=encode(error.said), status=error.status)
                return _refused(_unchecked("it is not what its server's API says"))
        if not raw or not self._makers or self._status >= 300:
            return Ended(body=raw)
        try:
            said, _ = decode(_decoder, raw)
        except UNREADABLE:
            said = None
        if not isinstance(said, dict):
            self.reason = "unreadable"
            return _refused(_unchecked("it is no JSON object"))
        try:
            found = list(slots(said))
            touched = yield from self._filter_strays(said, found, whole=True)
            for channel, holder, key in found:
                before = holder[key]
                # Each text of a whole answer stands alone.
                holder[key] = yield from self._run(self._made(channel), before, True)
                touched = touched or holder[key] != before
        except Blocked as blocked:
            self.reason = blocked.reason
            return _refused(blocked) if blocked.refuse else _instead(said, blocked)
        except AskFailed as failed:
            self.detail = str(failed)
            self.reason = "unchecked"
            return _refused(_unjudged())
        told: HeaderPairs = ()
        if self.warnings:
            told = (("x-vsr-response-warnings", ",".join(self.warnings)),)
        return Ended(body=encode(said) if touched else raw, report=told)

    # filters

    def _through(self, channel: Channel, text: str, final: bool) -> Flow[str]:
        chain = self._chains.get(channel)
        if chain is None:
            chain = self._chains[channel] = self._made(channel)
        text = yield from self._run(chain, text, final)
        if final:
            del self._chains[channel]
        return text

    def _run(self, chain: list[ReplyFilter], text: str, final: bool) -> Flow[str]:
        for watcher in chain:
            released = watcher.feed(text, final)
            if isinstance(released, str):
                text = released
            else:
                text = yield from released
            for warning in watcher.warnings:
                self.warnings[warning] = None
        return text

    def _made(self, channel: Channel) -> list[ReplyFilter]:
        return [made for make in self._makers if (made := make(channel)) is not None]

    def _watches(self, kinds: tuple[Kind, ...]) -> bool:
        """Whether any filter wants texts of one of these kinds."""
        found = self._wanted.get(kinds)
        if found is None:
            found = any([self._made(Channel(kind)) for kind in kinds])
            self._wanted[kinds] = found
        return found


UNANSWERED = Answer()
"""Told to witnesses of a request that no model was asked about after all."""


def tell(witnesses: Sequence[Witness], answer: Answer) -> Flow[None]:
    """Tell each how the request ended. A store that gives no answer costs nobody theirs: it says
    so itself. What else one raises is raised when the others have been told: somebody may be
    waiting for what they keep."""
    faults: list[Exception] = []
    for witness in witnesses:
        try:
            asking = witness.ended(answer)
            if asking is not None:
                yield from asking
        except AskFailed:
            continue
        except Exception as fault:  # noqa: BLE001 - raised below
            faults.append(fault)
    if faults:
        raise faults[0]


def _data(raw: bytes) -> bytes | None:
    """The data of one event, its lines joined; ``None`` where it is no event."""
    found = []
    for line in raw.splitlines():
        name, _, value = line.partition(b":")
        if name == b"data":
            found.append(value.removeprefix(b" "))
        elif name and name not in _FIELDS:
            return None
    return b"\n".join(found)


def _unreadable(reason: str = "unreadable") -> Blocked:
    return Blocked("The answer could not be checked.", reason=reason)


def _unchecked(why: object) -> Blocked:
    """A guard that cannot tell lets nothing through."""
    return Blocked(
        f"The answer could not be checked: {why}.", reason="unchecked", refuse=True, status=502
    )


def _unjudged() -> Blocked:
    """Why the engine did not answer names hosts and files of ours, so the client is not told."""
    return _unchecked("what judges it gave no answer")


def _error(blocked: Blocked) -> dict[str, Any]:
    kind = "server_error" if blocked.status >= 500 else "invalid_request_error"
    detail = {
        "message": blocked.message,
        "type": kind,
        "param": None,
        "code": "content_filter" if blocked.status < 500 else "response_unchecked",
    }
    return {"error": detail}


def _refused(blocked: Blocked) -> Ended:
    return Ended(
        body=encode(_error(blocked)),
        status=blocked.status,
        report=report.BLOCKED,
        reason=blocked.reason,
    )


def _instead(said: dict[str, Any], blocked: Blocked) -> Ended:
    """The same answer with the message in the place of every choice's words."""
    return Ended(body=instead(said, blocked.message), report=report.BLOCKED, reason=blocked.reason)
