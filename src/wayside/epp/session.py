"""One HTTP request as Envoy tells it to an endpoint picker: messages in, replies out.

A pure state machine, as :class:`wayside.extproc.session.Session` is, and served the same way.
Nothing is said before the whole request is there; then where it goes, in a header and in
metadata, and its body again (FULL_DUPLEX_STREAMED, in chunks of at most 62,000 bytes), or only
what changes in it (BUFFERED).
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from wayside.epp import metadata
from wayside.epp.answers import Answer, Names
from wayside.epp.headers import (
    DESTINATION,
    REQUEST_ID,
    TEST_ECHO,
    TEST_SELECTION,
    TEST_SERVED,
    WENT_THROUGH,
)
from wayside.epp.refusals import CANNOT_READ, FAILED, Refusal, too_large
from wayside.epp.requests import Asked, Sent, Visit
from wayside.epp.traced import facts
from wayside.extproc import wire
from wayside.telemetry.context import TRACEPARENT
from wayside.telemetry.meter import Meter
from wayside.telemetry.tracing import Trace

if TYPE_CHECKING:
    from wayside.epp.door import Door

Replies = list[wire.Message]


class Session:
    """One stream of ProcessingRequests. Feed it in order; send what it returns; then close it."""

    __slots__ = (
        "_answer",
        "_began_at",
        "_bodiless",
        "_body",
        "_chunks",
        "_decided",
        "_headers",
        "_protocol",
        "_refused",
        "_routed_at",
        "_sent",
        "_size",
        "_sse",
        "_subset",
        "_trace",
        "_trailers",
        "_visit",
        "done",
        "door",
        "pending",
    )

    def __init__(self, door: Door) -> None:
        self.door = door
        self.done = False
        """No more will be said: the server ends the stream after the last reply."""
        self.pending: Awaitable[Any] | None = None
        """Wait for this, then :meth:`resume`; receive nothing else meanwhile."""
        self._protocol = door.assumed
        self._headers: dict[str, str] | None = None
        self._subset: tuple[str, ...] | None = None
        self._body: bytes | bytearray = b""
        self._chunks = self._size = 0
        self._bodiless = self._trailers = self._decided = self._sse = False
        self._sent: Sent | None = None
        self._answer: Answer | None = None
        self._visit: Visit | None = None
        self._trace: Trace | None = None
        self._began_at = self._routed_at = 0.0
        self._refused = ""
        """Where requests are traced: when it came, when it was decided, why it was refused."""

    # --- what the servers call -----------------------------------------------------------------

    def receive(self, data: bytes) -> Replies:
        """The replies to one ProcessingRequest; ``WireError`` if it cannot be one here."""
        if self.done:
            return []
        phase, start, end, protocol, observing = wire.parse(data)
        if observing:
            self.done = True  # nobody listens in observability mode, so there is nothing to do
            return []
        if protocol is not None:
            self._protocol = protocol
        try:
            return self._phase(phase, data, start, end)
        except wire.WireError:
            raise
        except Exception as error:  # noqa: BLE001  a bug must cost one request, not the server
            return self.resume(error)

    def resume(self, outcome: Any) -> Replies:
        """The replies once :attr:`pending` has ended."""
        self.pending = None
        if isinstance(outcome, BaseException):
            self._bug(outcome)
            return self._refuse(FAILED)
        return self._refuse(outcome) if isinstance(outcome, Refusal) else self._send(outcome)

    def close(self, reason: str = "") -> None:
        """The stream is over, in order or not."""
        self.done = True
        self._release()
        sent, self._sent = self._sent, None
        self._told(sent)
        if sent is not None:
            try:
                sent.errand.ended()
            except Exception as error:  # noqa: BLE001  as in receive
                self._bug(error)
        visit, self._visit = self._visit, None
        if visit is not None:
            answer, size = self._answer, 0
            if answer is not None and answer.meter is not None:
                self._tell(visit, answer)
                size = answer.meter.size
            visit.ended(complete=answer is not None and answer.ended, size=size)

    def too_large(self) -> Replies:
        """The next message is larger than any body that would be accepted."""
        return self._refuse(too_large(self.door.max_body_bytes))

    def _phase(self, phase: int, data: bytes, start: int, end: int) -> Replies:
        if phase == wire.REQUEST_HEADERS:
            return self._request_headers(data, start, end)
        if phase == wire.REQUEST_BODY:
            return self._request_body(data, start, end)
        if phase == wire.REQUEST_TRAILERS:
            return self._request_trailers()
        if phase == wire.RESPONSE_HEADERS:
            return self._response_headers(data, start, end)
        if phase == wire.RESPONSE_BODY:
            return self._response_body(data, start, end)
        return self._response_trailers()

    # --- the request ---------------------------------------------------------------------------

    def _request_headers(self, data: bytes, start: int, end: int) -> Replies:
        if self._headers is not None:
            raise wire.WireError("request headers came twice")
        headers, ended = wire.read_headers(data, start, end)
        if REQUEST_ID not in headers:
            headers[REQUEST_ID] = str(uuid.uuid4())
        self._headers = headers
        self._subset = metadata.subset(data)
        if self.door.conformance and TEST_SELECTION in headers:
            named = headers.get(TEST_SELECTION, "").split(",")
            self._subset = tuple(name for part in named if (name := part.strip()))
        self._visit = self.door.telemetry.begin(headers[REQUEST_ID], self.door.clock())
        if ended:
            self._bodiless = True
            return self._decide(b"")
        mode = self._protocol.request_body
        if self._held_back:
            return []  # the body comes all the same, and the headers are answered after it
        if mode in (wire.BUFFERED, wire.BUFFERED_PARTIAL):
            return [_CONTINUE]
        return [_CONTINUE_BUFFERED]  # this mode shows no whole body in time: ask for one

    def _request_body(self, data: bytes, start: int, end: int) -> Replies:
        body, last = wire.read_body(data, start, end)
        mode = self._protocol.request_body
        if self._headers is None or self._decided:
            # Its headers never were shown to us, or it was answered: it goes on as it is.
            if mode == wire.FULL_DUPLEX_STREAMED and self._headers is None:
                return wire.stream_answers(wire.REQUEST_BODY, body, last=last)
            return []
        self._hold(len(body))
        self._chunks += 1
        if self._chunks == 1:
            self._body = body
        else:  # one buffer: many small pieces would take many times their size
            if self._chunks == 2:
                self._body = bytearray(self._body)
            self._body += body
        if self._size > self.door.max_body_bytes:
            return self._refuse(too_large(self.door.max_body_bytes))
        if self.door.held > self.door.max_held_bytes:
            return self._refuse(Refusal("ServiceUnavailable", "too many requests are held"))
        if last or mode == wire.BUFFERED:
            return self._decide(bytes(self._body))
        if not self._held_back:
            return self._refuse(CANNOT_READ)
        return []

    def _request_trailers(self) -> Replies:
        if self._headers is None or self._decided or not self._held_back:
            return [_REQUEST_TRAILERS]
        self._trailers = True
        return self._decide(bytes(self._body))

    @property
    def _held_back(self) -> bool:
        """Whether the request's headers are still to be answered when its body comes."""
        mode, _, early = self._protocol
        return mode == wire.FULL_DUPLEX_STREAMED or (early and mode == wire.STREAMED)

    def _decide(self, body: bytes) -> Replies:
        self._decided = True
        headers = self._headers
        assert headers is not None
        if self.door.tracer is not None:
            path = headers.get(":path", "")
            self._trace = self.door.tracer.begin(path, headers, body)
            self._began_at = self.door.clock()
        asked = Asked(headers, body, subset=self._subset, bodiless=self._bodiless)
        outcome = self.door.director.choose(asked)
        if isinstance(outcome, Sent):
            return self._send(outcome)
        if isinstance(outcome, Refusal):
            return self._refuse(outcome)
        self.pending = outcome
        return []

    def _send(self, sent: Sent) -> Replies:
        headers, door = self._headers, self.door
        assert headers is not None
        self._sent = sent
        if self._visit is not None:
            self._visit.sent(sent)
        if door.verbose:
            door.log(
                "picked", level="debug", endpoint=sent.destination, model=sent.model,
                target=sent.target, request_id=headers[REQUEST_ID],
            )  # fmt: skip
        pairs = [(DESTINATION, sent.destination)]
        if not self._bodiless:
            pairs.append(("Content-Length", str(len(sent.body))))
        pairs += sent.headers
        if self._trace is not None:  # it goes with the headers that go back as they came
            self._routed_at = door.clock()
            headers[TRACEPARENT] = self._trace.attempt()[1]
        if door.conformance:
            pairs.append((TEST_ECHO, f"{TEST_SERVED}:{sent.destination}"))
        again, ours = door.echo.of(headers)
        common = wire.common(wire.mutation(pairs, _but(ours, pairs)) + again)
        where = door.chosen(sent)
        if self._bodiless:
            replies = [wire.answer(wire.REQUEST_HEADERS, common, where)]
        elif self._held_back:
            replies = [wire.answer(wire.REQUEST_HEADERS, common, where)]
            if self._protocol.request_body == wire.FULL_DUPLEX_STREAMED:
                last = not self._trailers
                replies += wire.stream_answers(wire.REQUEST_BODY, sent.body, last=last)
            else:
                replies += [_CLEAR_CHUNK] * (self._chunks - 1)
                replies.append(wire.body_answer(b"", sent.body))
        else:
            if sent.model != sent.target:
                common += wire.field(3, wire.field(1, sent.body))
            replies = [wire.answer(wire.REQUEST_BODY, common, where)]
        if self._trailers:
            replies.append(_REQUEST_TRAILERS)
        self._release()
        if sent.skips or (door.skips and not self._needs_answer(sent)):
            self.done = True  # Envoy goes on by itself once the stream has ended in order
        return replies

    def _needs_answer(self, sent: Sent) -> bool:
        return self.door.conformance or sent.model != sent.target or sent.errand.follows

    # --- the answer ----------------------------------------------------------------------------

    def _response_headers(self, data: bytes, start: int, end: int) -> Replies:
        headers, bodiless = wire.read_headers(data, start, end)
        door, sent = self.door, self._sent
        if self._visit is None:  # its request never was shown to us
            self._visit = door.telemetry.begin("", door.clock())
        visit = self._visit
        pairs = [(WENT_THROUGH, "true")]
        if sent is not None:
            pairs += sent.errand.says()
        if door.conformance:
            pairs.append((TEST_SERVED, _served(data)))
        self._sse = "text/event-stream" in headers.get("content-type", "")
        self._answer = self._expect(sent, self._sse, bodiless)
        override = b""
        mode = self._protocol.response_body
        if door.skips and mode != wire.NONE and not bodiless and not self._sees:
            # Only that the answer ends is of interest, which the stream's end tells.
            override = wire.mode_override(request_body=self._protocol.request_body)
            self._began(visit)
        elif self._changes and mode == wire.NONE and not bodiless:
            override = wire.mode_override(
                request_body=self._protocol.request_body, response_body=wire.STREAMED
            )
            self._protocol = self._protocol._replace(response_body=wire.STREAMED)
        elif mode == wire.NONE or bodiless:
            self._began(visit)
        again, ours = door.echo.of(headers)
        gone = _but(ours, pairs)
        if self._changes and mode != wire.BUFFERED and "content-length" in headers:
            gone.append("content-length")
        common = wire.common(wire.mutation(pairs, gone) + again, clear=False)
        return [wire.answer(wire.RESPONSE_HEADERS, common, override)]

    def _began(self, visit: Visit) -> None:
        """An answer began whose body is not shown."""
        now = self.door.clock()
        visit.piece(now, 0.0, stream=self._sse)
        if self._sent is not None:
            self._sent.errand.answered(now)

    @property
    def _sees(self) -> bool:
        """Whether somebody needs the answer's body, and be it to hear when it began."""
        return self._changes or (self._sent is not None and self._sent.errand.listens)

    @property
    def _changes(self) -> bool:
        return self._sent is not None and self._sent.model != self._sent.target

    def _expect(self, sent: Sent | None, stream: bool, bodiless: bool) -> Answer:
        names = None
        if sent is not None and sent.model != sent.target:
            names = Names(sent.target, sent.model)
        streams = stream or (sent is not None and sent.stream)
        if names is None and (self.door.skips or self._protocol.response_body == wire.STREAMED):
            streams = True  # nothing is changed, so nothing need be held
        path = (self._headers or {}).get(":path", "")
        leads = path.startswith("/v1/messages")
        meter = Meter(stream=stream, leads=leads) if self.door.counts else None
        answer = Answer(stream=streams, names=names, meter=meter, limit=self.door.max_body_bytes)
        if bodiless:
            answer.ended = True
        return answer

    def _response_body(self, data: bytes, start: int, end: int) -> Replies:
        came = self.door.clock()
        body, last = wire.read_body(data, start, end)
        if not body:
            return self._piece(body, last=last)
        if self._sent is not None:
            self._sent.errand.answered(came)
        replies = self._piece(body, last=last)
        if self._visit is not None:
            self._visit.piece(came, self.door.clock() - came, stream=self._sse)
        return replies

    def _piece(self, body: bytes, *, last: bool) -> Replies:
        mode = self._protocol.response_body
        whole = mode == wire.BUFFERED
        answer = self._answer
        if answer is None:  # its headers never were shown to us
            goes: bytes | None = body
        else:
            goes = answer.came(body, last=last or whole)
            if goes is not None:
                self._release()
            else:
                self._hold(len(body))
                if self.door.held > self.door.max_held_bytes:
                    goes = answer.let_go()
                    self._release()
            if (last or whole) and self._sent is not None:
                self._sent.errand.ended()
        if mode == wire.FULL_DUPLEX_STREAMED:
            if goes is None:
                return []
            return wire.stream_answers(wire.RESPONSE_BODY, goes, last=last)
        if goes == body:
            return [_KEEP_PIECE]
        if not goes:
            return [_CLEAR_PIECE]
        length = (("content-length", str(len(goes))),) if whole else ()
        common = wire.common(wire.mutation(length), clear=False)
        return [wire.body_answer(common, goes, wire.RESPONSE_BODY)]

    def _response_trailers(self) -> Replies:
        trailers = wire.trailers_answer(wire.RESPONSE_TRAILERS)
        answer = self._answer
        if answer is None or answer.ended:
            return [trailers]
        rest = answer.rest()
        if self._sent is not None:
            self._sent.errand.ended()
        if self._protocol.response_body != wire.FULL_DUPLEX_STREAMED:
            return [trailers]
        return [*wire.stream_answers(wire.RESPONSE_BODY, rest, last=False), trailers]

    # --- endings -------------------------------------------------------------------------------

    def _refuse(self, refusal: Refusal) -> Replies:
        self.done = self._decided = True
        self._refused = refusal.code
        if self.door.verbose:
            request_id = (self._headers or {}).get(REQUEST_ID, "")
            self.door.log("refused", level="debug", why=refusal.message, request_id=request_id)
        if self._visit is not None:
            self._visit.refused(refusal.code)
        self._release()
        return [refusal.reply()]

    def _told(self, sent: Sent | None) -> None:
        """Tell whoever traces requests; once."""
        trace, tracer = self._trace, self.door.tracer
        self._trace = None
        if trace is None or tracer is None or not trace.sampled:
            return
        answer = self._answer
        meter = None if answer is None else answer.meter
        tracer.spool.put(
            facts(
                tracer,
                trace,
                sent,
                request_id=(self._headers or {}).get(REQUEST_ID, ""),
                started=self._began_at,
                routed=self._routed_at,
                first=0.0,
                ended=self.door.clock(),
                usage=None if meter is None else meter.told(),
                tail=b"" if meter is None else meter.tail,
                refused=self._refused,
            )
        )

    def _bug(self, error: BaseException) -> None:
        why = "".join(traceback.format_exception(error))
        self.door.log("request failed", level="error", shell="epp", traceback=why)

    def _tell(self, visit: Visit, answer: Answer) -> None:
        took = answer.took()
        if took is not None:
            visit.took(took.prompt, took.completion, took.cached, stream=self._sse)

    def _release(self) -> None:
        self.door.held -= self._size
        self._size = 0
        self._body = b""

    def _hold(self, size: int) -> None:
        """So many bytes more wait here."""
        self._size += size
        self.door.held += size


def _but(ours: list[str], pairs: list[tuple[str, str]]) -> list[str]:
    """Which of our own headers the other side has put there, to be removed. Those that are set
    are overwritten, and Envoy looks after the length."""
    if not ours:
        return ours
    named = {name for name, _ in pairs}
    return [name for name in ours if name not in named and name != "content-length"]


def _served(data: bytes) -> str:
    """What the conformance suite wants to read of where the request really went."""
    found = metadata.served(data)
    if found is None:
        return "fail: missing envoy lb metadata"
    return found or "fail: missing destination endpoint served metadata"


_CONTINUE: Final = wire.answer(wire.REQUEST_HEADERS, b"")
_CONTINUE_BUFFERED: Final = wire.answer(
    wire.REQUEST_HEADERS, b"", wire.mode_override(request_body=wire.BUFFERED)
)
_CLEAR_CHUNK: Final = wire.answer(wire.REQUEST_BODY, wire.CLEAR_BODY)
_KEEP_PIECE: Final = wire.answer(wire.RESPONSE_BODY, b"")
_CLEAR_PIECE: Final = wire.answer(wire.RESPONSE_BODY, wire.CLEAR_BODY)
_REQUEST_TRAILERS: Final = wire.trailers_answer(wire.REQUEST_TRAILERS)
