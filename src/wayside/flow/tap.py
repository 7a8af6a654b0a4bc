"""What happens to an answer on its way back: the filters that plugins hung on it.

A whole answer is read, filtered and encoded again. A stream is taken apart event by event; what
a filter releases goes on at once, what it holds follows in a later event. Everything that carries
no text passes as the bytes it came in. Nothing here knows who reads the bytes, so both shells
behave alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, encode
from wayside.dialects.answers import (
    DONE,
    STREAM,
    Channel,
    carries_nothing,
    ending,
    event,
    event_with,
    finished,
    slots,
)
from wayside.flow import report
from wayside.plugins import Blocked, MakeFilter, ReplyFilter
from wayside.vocab.ask import Flow
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Ended, HeaderPairs, Taken

MAX_BODY = 64 << 20
MAX_EVENT = 4 << 20
"""Bytes of a whole answer and of one event that are held; a longer one is stopped, not passed
unseen."""
_BOUNDARY = re.compile(rb"\r?\n\r?\n|\r\r")
_decode = msgspec.json.Decoder().decode


class ReplyTap:
    """Filters one answer. ``begin``, then ``feed`` for every chunk, then ``finish``, once each."""

    __slots__ = (
        "_chains",
        "_choices",
        "_ended",
        "_held",
        "_makers",
        "_taken",
        "_template",
        "reason",
        "warnings",
    )

    def __init__(self, makers: Sequence[MakeFilter]) -> None:
        self._makers = tuple(makers)
        self._chains: dict[Channel, list[ReplyFilter]] = {}
        self._choices: dict[int, None] = {}
        self._held = bytearray()
        self._template: dict[str, Any] = {"object": "chat.completion.chunk"}
        self._taken: Taken = "pass"
        self._ended = False
        self.reason = ""
        """Why the answer was stopped, or ``""``."""
        self.warnings: dict[str, None] = {}

    def begin(self, status: int, content_type: str) -> Taken:
        """How the body will be taken; an answer that is no success is not looked at."""
        kind = content_type.partition(";")[0].strip().lower()
        if 200 <= status < 300:
            self._taken = "stream" if kind == STREAM else "whole"
        return self._taken

    def feed(self, chunk: bytes) -> Flow[bytes]:
        """What goes on to the client now that ``chunk`` has come."""
        if self._taken == "pass":
            return chunk
        if self._ended:
            return b""
        self._held += chunk
        if self._taken == "whole":
            if len(self._held) > MAX_BODY:
                self._held.clear()
                self._ended, self.reason = True, "too_large"
            return b""
        out: list[bytes] = []
        at = 0
        while not self._ended and (found := _BOUNDARY.search(self._held, at)):
            raw = bytes(self._held[at : found.end()])
            at = found.end()
            out.append((yield from self._event(raw)))
        del self._held[:at]
        if len(self._held) > MAX_EVENT and not self._ended:
            out.append(self._stop(Blocked("The answer could not be checked.", reason="too_large")))
        return b"".join(out)

    def finish(self) -> Flow[Ended]:
        """The rest of a stream, or the whole answer, with what is to be said about it."""
        if self._taken == "whole":
            return (yield from self._whole())
        rest = b""
        if self._taken == "stream" and not self._ended:
            tail = bytes(self._held)
            rest = yield from self._event(tail) if tail.strip() else self._flush()
            if tail.strip() and not self._ended:
                rest += yield from self._flush()
        return Ended(body=rest, reason=self.reason)

    # streams

    def _event(self, raw: bytes) -> Flow[bytes]:
        data = _data(raw)
        if not data:
            return raw
        if data.strip() == b"[DONE]":
            rest = yield from self._flush()
            if self._ended:
                return rest
            return rest + self._told() + raw
        try:
            said = _decode(data)
        except UNREADABLE:
            return self._stop(Blocked("The answer could not be checked.", reason="unreadable"))
        if not isinstance(said, dict) or not said.get("choices"):
            return raw
        self._template = said
        ends = finished(said)
        found = list(slots(said))
        out: list[bytes] = []
        touched = False
        try:
            for channel, holder, key in found:
                self._choices[channel.choice] = None
                before = holder[key]
                holder[key] = yield from self._through(channel, before, False)
                touched = touched or holder[key] != before
            for channel in list(self._chains):
                if channel.choice in ends:
                    held = yield from self._through(channel, "", True)
                    last = [slot for slot in found if slot.channel == channel]
                    if held and last:
                        last[-1].holder[last[-1].key] += held
                        touched = True
                    elif held:
                        out.append(event_with(said, channel, held))
        except Blocked as blocked:
            return b"".join([*out, self._stop(blocked)])
        except AskFailed as failed:
            return b"".join([*out, self._stop(_unchecked(failed))])
        if not touched:
            return b"".join([*out, raw])
        if carries_nothing(said):
            return b"".join(out)
        return b"".join([*out, event(said)])

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
            out.append(self._stop(_unchecked(failed)))
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
        try:
            said = _decode(raw)
        except UNREADABLE:
            self.reason = "unreadable"
            return _refused(_unchecked("it is not JSON"))
        if not isinstance(said, dict) or not said.get("choices"):
            return Ended(body=raw)
        touched = False
        try:
            for channel, holder, key in list(slots(said)):
                before = holder[key]
                self._chains.pop(channel, None)  # each text of a whole answer stands alone
                holder[key] = yield from self._through(channel, before, True)
                touched = touched or holder[key] != before
        except Blocked as blocked:
            self.reason = blocked.reason
            return _refused(blocked) if blocked.refuse else _instead(said, blocked)
        except AskFailed as failed:
            self.reason = "unchecked"
            return _refused(_unchecked(failed))
        told: HeaderPairs = ()
        if self.warnings:
            told = (("x-vsr-response-warnings", ",".join(self.warnings)),)
        return Ended(body=encode(said) if touched else raw, report=told)

    # filters

    def _through(self, channel: Channel, text: str, final: bool) -> Flow[str]:
        chain = self._chains.get(channel)
        if chain is None:
            chain = [made for make in self._makers if (made := make(channel)) is not None]
            self._chains[channel] = chain
        for watcher in chain:
            released = watcher.feed(text, final)
            if isinstance(released, str):
                text = released
            else:
                text = yield from released
            for warning in watcher.warnings:
                self.warnings[warning] = None
        if final:
            del self._chains[channel]
        return text


def _data(raw: bytes) -> bytes:
    """The data of one event, its lines joined."""
    lines = raw.splitlines()
    found = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(found)


def _unchecked(why: object) -> Blocked:
    """A guard that cannot tell lets nothing through."""
    return Blocked(
        f"The answer could not be checked: {why}.", reason="unchecked", refuse=True, status=502
    )


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
    for choice in said["choices"]:
        if not isinstance(choice, dict):
            continue
        choice["finish_reason"] = "content_filter"
        choice.pop("logprobs", None)
        if "text" in choice:
            choice["text"] = blocked.message
        else:
            choice["message"] = {"role": "assistant", "content": blocked.message}
    return Ended(body=encode(said), report=report.BLOCKED, reason=blocked.reason)
