"""One HTTP request as Envoy tells it: which message is answered with what.

A pure state machine, shared by both servers: messages in, replies out, no I/O. When the runtime
needs longer, :attr:`Session.pending` holds what to wait for, and :meth:`Session.resume` takes
the outcome. It never raises on what a peer sends but :class:`WireError`.
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

import msgspec

from wayside.extproc import wire
from wayside.extproc.metered import Asked, Meter, Metered, is_stream
from wayside.extproc.replicas import HEADER, Chosen, NoServer, Replicas
from wayside.flow.protocols import shell_error
from wayside.flow.report import failed, header_text, merged
from wayside.runtime.admission import CODE, MESSAGE, SOON, STATUS, Admission, counted
from wayside.runtime.prefill import NoPrefill, Place, Read
from wayside.telemetry.context import SENT
from wayside.vocab.ask import Flow
from wayside.vocab.headers import CONTROLS, ENVOYS, GATEWAY_MODEL, PROVIDER_LIMITS, is_internal
from wayside.vocab.outcome import (
    Ended,
    Forward,
    HeaderPairs,
    Outcome,
    Record,
    Reply,
    Request,
    Taken,
    Tap,
)

Replies = list[wire.Message]
T = TypeVar("T")


class Exchange(Protocol):
    """Telemetry of one request; :meth:`ended` is called exactly once, and last."""

    @property
    def inside(self) -> str: ...
    def outgoing(self) -> tuple[str, str]: ...
    def routed(self, record: Record) -> None: ...
    def first_byte(self, status: int) -> None: ...
    def measure(self, *, stream: bool, leads: bool, sent: int) -> Meter: ...
    def ended(self, *, status: int, reason: str = "") -> None: ...


Reads = Callable[[Any, str, dict[str, str], bytes], None]
"""Told of a request when all of it has come: the exchange, path, headers and body."""


class Telemetry(Protocol):
    """Begins exchanges. Its ``reads``, where it has one that is not ``None``, wants to be told of
    each request."""

    def begin(self, *, shell: str, request_id: str) -> Exchange: ...


class Runtime(Protocol):
    """The core: says what becomes of a request."""

    def handle(self, request: Request) -> Outcome | Awaitable[Outcome]: ...
    def turned_away(self, request: Request) -> Reply | None: ...
    def drive(self, flow: Flow[T]) -> T | Awaitable[T]: ...
    def after(self, flow: Flow[None] | None) -> None: ...


class Say(Protocol):
    """A log: constant events with fields."""

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None: ...


def silence(event: str, *, level: str = "info", **fields: Any) -> None:
    """The log of those who want none."""


class Door:
    """What all sessions of one server share: the core, the limits, and encoded replies.

    ``assumed`` is the request body mode of an Envoy that does not say (before 1.34): BUFFERED,
    STREAMED or FULL_DUPLEX_STREAMED. ``held`` counts body bytes waiting in all sessions.
    ``count_usage``: answers are to be shown, so that what they took is known.
    """

    def __init__(
        self,
        runtime: Runtime,
        telemetry: Telemetry,
        *,
        max_body_bytes: int,
        assumed: int = wire.BUFFERED,
        max_held_bytes: int | None = None,
        log: Say = silence,
        count_usage: bool = True,
        replicas: Replicas | None = None,
        model_header: str = "",
        admission: Admission | None = None,
    ) -> None:
        self.admission = admission
        """Bounds the requests under way."""
        self.runtime, self.telemetry, self.replicas = runtime, telemetry, replicas
        self.max_body_bytes = max_body_bytes
        self.max_held_bytes = max_held_bytes or max(256 << 20, 4 * max_body_bytes)
        self.assumed = wire.Protocol(assumed, wire.NONE, assumed == wire.FULL_DUPLEX_STREAMED)
        self.log = log
        self.model_header = model_header
        """In which the chosen model goes on to filters behind us."""
        self.held = 0
        self.sees_responses = False
        """Whether this Envoy shows us response headers, so that their absence means something."""
        self.sees_bodies = False
        """Whether this Envoy has ever shown us the body of an answer."""
        self.unseen = 0
        """Watched whole answers whose body it never showed."""
        self.reads: Reads | None = getattr(telemetry, "reads", None)
        self._count_usage = count_usage
        self._uncounted = 0
        self._ordinary: set[str] = set()
        self._mutations: dict[Any, bytes] = {}
        self._reports: dict[Any, wire.Message] = {}

    def session(self) -> Session:
        """A talk about one request."""
        return Session(self)

    @property
    def counts(self) -> bool:
        """Whether answers are counted: not by an Envoy that was asked often and never shows any,
        of which no server should be asked for usage that nobody would take out again."""
        return self._count_usage and (self.sees_bodies or self._uncounted < _TRIES)

    def uncounted(self) -> None:
        """An answer was to be shown, and was not."""
        if self.sees_bodies or self._uncounted >= _TRIES:
            return
        self._uncounted += 1
        if self._uncounted == _TRIES:
            self.log("usage not counted", level="warning", why=_UNCOUNTED)

    def internal(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """Those names among ``headers`` that only we may set."""
        ordinary = self._ordinary
        if ordinary.issuperset(headers):  # true for nearly all, and one C loop
            return ()
        found = tuple(name for name in headers if _not_theirs(name.lower()))
        if len(ordinary) > 4096:
            ordinary.clear()
        ordinary.update(name for name in headers if len(name) < 64 and name not in found)
        return found

    def mutation(self, key: tuple[Any, ...]) -> bytes:
        """CommonResponse for ``(set_headers, remove_headers, path, internal)``, encoded once."""
        found = self._mutations.get(key)
        if found is None:
            pairs, remove, path, internal = key
            if path:
                pairs = (*pairs, (":path", path))
            names = {name for name, _ in pairs}
            gone = dict.fromkeys((*remove, *internal))
            found = wire.common(wire.mutation(pairs, [n for n in gone if n not in names]))
            if len(self._mutations) >= 4096:
                self._mutations.clear()
            self._mutations[key] = found
        return found

    def report(
        self, report: HeaderPairs, internal: tuple[str, ...], override: bytes
    ) -> wire.Message:
        """The reply to response headers, encoded once per distinct report."""
        key = (report, internal, override)
        found = self._reports.get(key)
        if found is None:
            names = {name for name, _ in report}
            gone = [name for name in internal if name not in names]
            common = wire.common(wire.mutation(report, gone), clear=False)
            found = wire.answer(wire.RESPONSE_HEADERS, common, override)
            if len(self._reports) >= 4096:
                self._reports.clear()
            self._reports[key] = found
        return found


class Session:
    """One stream of ProcessingRequests. Feed it in order; send what it returns; then close it."""

    __slots__ = (
        "_asked",
        "_chosen",
        "_chunks",
        "_decided",
        "_exchange",
        "_failed",
        "_headers",
        "_internal",
        "_last",
        "_limited",
        "_metered",
        "_path",
        "_protocol",
        "_report",
        "_seated",
        "_settling",
        "_size",
        "_status",
        "_taken",
        "_tap",
        "_then",
        "_trailers",
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
        self._then: Callable[[Any], Replies] = self._answer
        """Takes what was waited for."""
        self._tap: Tap | None = None
        self._settling: Tap | None = None
        self._taken: Taken = "pass"
        self._asked: Asked | None = None
        self._metered: Metered | None = None
        """The answer, where it is counted."""
        self._chosen: Chosen | None = None
        """The server it goes to, where that is ours to say."""
        self._headers: dict[str, str] | None = None
        self._internal: tuple[str, ...] = ()
        self._path = ""
        self._protocol = door.assumed
        self._exchange: Exchange | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._last = False
        self._trailers = False
        self._decided = False
        self._report: HeaderPairs = ()
        self._seated = False
        """Whether this request takes room (``limits.max_in_flight``)."""
        self._limited = False
        """Whether the client has limits of ours."""
        self._status = 0
        self._failed = ""

    # --- what the servers call -----------------------------------------------------------------

    def receive(self, data: bytes) -> Replies:
        """The replies to one ProcessingRequest; ``WireError`` if it cannot be one here."""
        if self.done:
            return []
        phase, start, end, protocol, observing = wire.parse(data)
        if observing:
            self.done = True  # nobody listens in observability mode, so there is nothing to do
            return []
        if phase == wire.REQUEST_HEADERS:
            return self._request_headers(data, start, end, protocol)
        if self._headers is not None:
            if phase == wire.REQUEST_BODY:
                return self._request_body(data, start, end)
            if phase == wire.RESPONSE_HEADERS:
                return self._response_headers(data, start, end)
            if phase == wire.REQUEST_TRAILERS:
                return self._request_trailers()
            if self._tap is not None and phase == wire.RESPONSE_BODY:
                return self._response_body(self._tap, data, start, end)
            if self._metered is not None and phase == wire.RESPONSE_BODY:
                return self._metered_body(self._metered, data, start, end)
            if self._taken != "pass" and phase == wire.RESPONSE_TRAILERS and self._tap is not None:
                return self._await(self._tap.finish(), self._filtered_before_trailers)
        # Bodies and trailers of responses, and all of a request that never was shown to us.
        return _leave_alone(phase, data, start, end, self._protocol)

    def resume(self, outcome: Any) -> Replies:
        """The replies once :attr:`pending` has ended."""
        self.pending = None
        if isinstance(outcome, NoPrefill):
            return self._refuse(503, _NO_SERVER, "no_healthy_endpoint")
        if isinstance(outcome, BaseException):
            why = "".join(traceback.format_exception(outcome))
            self.door.log("request failed", level="error", shell="extproc", traceback=why)
            return self._refuse(500, "the router failed", "internal_error")
        return self._then(outcome)

    def close(self, reason: str = "") -> None:
        """The stream is over; ``reason`` says why, if it was not in order."""
        if self._tap is not None and self._taken != "pass" and not self.door.sees_bodies:
            self._tap = None
            # The body of a whole answer follows its head at once. That of a stream may take so
            # long that clients leave before it: they must not be able to lock others out.
            self.door.unseen += self._taken == "whole"
            self.door.log("answer not watched", level="error", why=_UNWATCHED)
        if self._seated and self.door.admission is not None:
            self._seated = False
            self.door.admission.leave()
        metered = self._metered
        if metered is not None and not metered.shown:
            self.door.uncounted()
        if metered is not None and metered.broken and not self._failed:
            self._failed = "answer_unfinished"
        self.done = True
        self._release()
        chosen, self._chosen = self._chosen, None
        if chosen is not None and self.door.replicas is not None:
            failed = self._failed == "upstream_failed"
            chosen.ended(self.door.replicas.now, failed=failed, unfinished=bool(self._failed))
        settling, self._settling = self._settling, None
        if settling is not None:
            self.door.runtime.after(settling.settle())
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            # Envoy resets every stream whose request is over, answered or not. Without a status
            # the client was gone first (499, as nginx has it), or there is no response phase.
            if self._status:
                exchange.ended(status=self._status, reason=self._failed)
            elif self._decided and not self.door.sees_responses:
                exchange.ended(status=0)
            else:
                exchange.ended(status=499, reason=reason or "client_closed")

    def too_large(self) -> Replies:
        """The next message is larger than any body that would be accepted."""
        if self._headers is None:
            self.done = True
            return []
        return self._refuse_large()

    # --- phases --------------------------------------------------------------------------------

    def _request_headers(
        self, data: bytes, start: int, end: int, protocol: wire.Protocol | None
    ) -> Replies:
        if self._headers is not None:
            raise wire.WireError("request headers came twice")
        headers, ended = wire.read_headers(data, start, end)
        if protocol is not None:
            self._protocol = protocol
        self._internal = internal = self.door.internal(headers)
        for name in internal:
            if name not in CONTROLS:
                del headers[name]
        if "x-request-id" not in headers:
            headers["x-request-id"] = str(uuid.uuid4())
        self._headers = headers
        self._exchange = self.door.telemetry.begin(
            shell="extproc", request_id=headers["x-request-id"]
        )
        method, path = headers.get(":method", ""), headers.get(":path", "")
        if not ended:
            refusal = self.door.runtime.turned_away(Request(method, path, headers))
            if refusal is not None:  # nobody waits for a body that will not be read
                self._path = path
                return self._answer(refusal)
        room = self.door.admission
        if room is not None and counted(method):
            self._seated = room.enter(headers)
            if not self._seated:
                return self._refuse(STATUS, MESSAGE, CODE, SOON)
        if ended:
            self._last = True
            return self._decide(b"")
        mode, _, early = self._protocol
        if mode == wire.FULL_DUPLEX_STREAMED or (early and mode == wire.STREAMED):
            return []  # the body comes all the same, and the headers are answered after it
        if mode in (wire.BUFFERED, wire.BUFFERED_PARTIAL):
            return [_CONTINUE]
        # STREAMED gives no body before the headers are on their way upstream, too late to route
        # by it, and NONE gives none at all: ask for the whole body instead.
        return [_CONTINUE_BUFFERED]

    def _request_body(self, data: bytes, start: int, end: int) -> Replies:
        if self._decided or self._last:
            return []
        body, last = wire.read_body(data, start, end)
        mode = self._protocol.request_body
        self._size += len(body)
        self.door.held += len(body)
        self._chunks.append(body)
        if self._size > self.door.max_body_bytes:
            return self._refuse_large()
        if self.door.held > self.door.max_held_bytes:
            return self._refuse(503, "the router holds too many requests", "overloaded")
        if mode == wire.BUFFERED or last:
            self._last = True
            return self._decide(body if len(self._chunks) == 1 else b"".join(self._chunks))
        if mode == wire.BUFFERED_PARTIAL:
            return self._refuse_large()  # cut at Envoy's buffer limit: the rest cannot be read
        if not self._held_back:
            return self._refuse(500, _CANNOT_ROUTE, "configuration_error")
        return []

    def _request_trailers(self) -> Replies:
        if self._last or self._decided or not self._held_back:
            return [_REQUEST_TRAILERS]
        self._last = self._trailers = True
        return self._decide(b"".join(self._chunks))

    def _response_headers(self, data: bytes, start: int, end: int) -> Replies:
        # Envoy puts :status first: HttpHeaders, HeaderMap, HeaderValue, then the key.
        at = data.find(b"\x0a\x07:status\x1a\x03", start, end)
        text = data[at + 11 : at + 14]
        internal: tuple[str, ...] = ()
        hidden = PROVIDER_LIMITS if self._limited and b"-ratelimit-" in data else ()
        if at < 0 or not text.isdigit() or hidden or _may_be_internal(data):
            headers, _ = wire.read_headers(data, start, end)
            internal = tuple(n for n in headers if is_internal(n) or n.startswith(hidden))
            text = headers.get(":status", "0").encode("latin-1")
            if text in _GATEWAY_ERRORS and headers.get("x-vsr-response-path") == "error":
                # The Envoy we generate says so of its own answers: the model's server gave none.
                # One that says it of its 5xx only calls its own error an error.
                self._report = failed(self._report)
                self._failed = "upstream_failed"
        self._status = int(text) if text.isdigit() else 0
        self.door.sees_responses = True
        if self._chosen is not None and self.door.replicas is not None:
            by = wire.upstream_address(data, end)
            self._chosen.answered(self.door.replicas.now, self._status, by)
            self._report = merged(self._report, self._chosen.report)
        if self._exchange is not None:
            if not self._decided:  # Envoy itself answered: the body was too large, or too slow
                self._report = _REFUSAL[1:]
                self._exchange.routed(Record(path="error", reason="answered_by_envoy"))
            self._exchange.first_byte(self._status)
        override = b""
        if self._tap is not None:
            return self._begin_watch(self._tap, data, start, end, internal)
        if self._asked is not None and 200 <= self._status < 300:
            return self._begin_count(self._asked, data, start, end, internal)
        if self._protocol.response_body not in (wire.NONE, wire.FULL_DUPLEX_STREAMED):
            override = wire.mode_override(request_body=self._protocol.request_body)
        return [self.door.report(self._report, internal, override)]

    # --- an answer that is counted -------------------------------------------------------------

    def _begin_count(
        self, asked: Asked, data: bytes, start: int, end: int, internal: tuple[str, ...]
    ) -> Replies:
        """Ask Envoy for the body of an answer, piece by piece, to see what it took."""
        headers, bodiless = wire.read_headers(data, start, end)
        protocol = self._protocol
        wanted = wire.NONE if bodiless else wire.STREAMED
        if not bodiless:
            self._measure(asked, headers)
        override = b""
        if protocol.response_body not in (wire.FULL_DUPLEX_STREAMED, wanted):
            override = wire.mode_override(request_body=protocol.request_body, response_body=wanted)
            self._protocol = protocol._replace(response_body=wanted)
        return [self.door.report(self._report, internal, override)]

    def _measure(self, asked: Asked, headers: Mapping[str, str]) -> None:
        if self._exchange is None:
            return
        stream = is_stream(headers)
        meter = self._exchange.measure(stream=stream, leads=asked.leads, sent=asked.sent)
        # A length that was announced stands, and so does every byte.
        trims = stream and "content-length" not in headers
        self._metered = Metered(meter, asked.trim if trims else "")

    def _metered_body(self, metered: Metered, data: bytes, start: int, end: int) -> Replies:
        self.door.sees_bodies = True
        body, last = wire.read_body(data, start, end)
        metered.came(body, last=last)
        if self._protocol.response_body == wire.FULL_DUPLEX_STREAMED:
            body = metered.goes(body, last=last)
            return wire.stream_answers(wire.RESPONSE_BODY, body, last=last)
        if not metered.trims:
            return [_KEEP_PIECE]
        goes = metered.goes(body, last=last)
        if goes == body:
            return [_KEEP_PIECE]
        if not goes:
            return [_CLEAR_PIECE]
        return [wire.body_answer(b"", goes, wire.RESPONSE_BODY)]

    # --- an answer that filters watch ----------------------------------------------------------

    def _begin_watch(
        self, tap: Tap, data: bytes, start: int, end: int, internal: tuple[str, ...]
    ) -> Replies:
        """Ask Envoy for the body of an answer that goes through ``tap``."""
        headers, bodiless = wire.read_headers(data, start, end)
        protocol = self._protocol
        taken = "pass" if bodiless else tap.begin(self._status, headers.get("content-type", ""))
        if taken == "pass":
            self._tap = None
            asked = wire.NONE
            if self._asked is not None and 200 <= self._status < 300:
                return self._begin_count(self._asked, data, start, end, internal)
        elif headers.get("content-encoding", "identity").strip().lower() != "identity":
            return self._refuse(502, "the answer is compressed and cannot be checked", "unchecked")
        else:
            asked = wire.BUFFERED if taken == "whole" else wire.STREAMED
            if self._asked is not None:
                self._measure(self._asked, headers)
        self._taken = taken
        override = b""
        if protocol.response_body not in (wire.FULL_DUPLEX_STREAMED, asked):
            override = wire.mode_override(request_body=protocol.request_body, response_body=asked)
            self._protocol = protocol._replace(response_body=asked)
        gone = internal if taken == "pass" else (*internal, "content-length")
        report = self._report
        if tap.content_type:
            report = (*report, ("content-type", tap.content_type))
        return [self.door.report(report, gone, override)]

    def _response_body(self, tap: Tap, data: bytes, start: int, end: int) -> Replies:
        self.door.sees_bodies = True
        body, last = wire.read_body(data, start, end)
        last = last or self._protocol.response_body == wire.BUFFERED
        if self._metered is not None:
            self._metered.came(body, last=last)
        return self._await(self._pass_through(tap, body, last), self._filtered)

    def _pass_through(self, tap: Tap, body: bytes, last: bool) -> Flow[tuple[Ended, bool]]:
        released = yield from tap.feed(body)
        if not last:
            return Ended(body=released), False
        ended = yield from tap.finish()
        if released:
            ended = msgspec.structs.replace(ended, body=released + ended.body)
        return ended, True

    def _filtered_before_trailers(self, ended: Ended) -> Replies:
        """The body ended without saying so: what a filter still holds goes before the trailers."""
        self._taken = "pass"
        trailers = wire.trailers_answer(wire.RESPONSE_TRAILERS)
        if self._protocol.response_body == wire.FULL_DUPLEX_STREAMED:
            said = self._filtered((ended, False))
            return said if self.done else [*said, trailers]
        if ended.body or ended.status is not None:
            return self._refuse(502, _NO_PLACE, "unchecked")  # which breaks the answer off
        return [trailers]

    def _filtered(self, found: tuple[Ended, bool]) -> Replies:
        ended, last = found
        whole = self._taken == "whole"
        if not whole and self._metered is not None and self._metered.trims:
            goes = self._metered.goes(ended.body, last=last)
            ended = msgspec.structs.replace(ended, body=goes)
        if last:
            self._taken = "pass"  # nothing is left to be taken
        if ended.reason:
            self._failed = ended.reason
        if last and self._tap is not None and self._tap.detail:
            self.door.log("answer unchecked", level="warning", why=self._tap.detail)
        if ended.status is not None:
            report = merged(self._report, ended.report)
            pairs = (("content-type", "application/json"), *report)
            return self._reply(ended.status, pairs, ended.body, "wayside_response_refused")
        if self._protocol.response_body == wire.FULL_DUPLEX_STREAMED:
            return wire.stream_answers(wire.RESPONSE_BODY, ended.body, last=last)
        common = b""
        if whole:
            pairs = (*ended.report, ("content-length", str(len(ended.body))))
            common = wire.common(wire.mutation(pairs), clear=False)
        if not ended.body:
            return [wire.answer(wire.RESPONSE_BODY, common + wire.CLEAR_BODY)]
        return [wire.body_answer(common, ended.body, wire.RESPONSE_BODY)]

    def _await(self, flow: Flow[T], then: Callable[[T], Replies]) -> Replies:
        """Go on with what ``flow`` comes to, now or when an engine has answered."""
        if self.door.reads is not None and self._exchange is not None:
            SENT.set(self._exchange.inside)
        try:
            found = self.door.runtime.drive(flow)
        except Exception as error:  # noqa: BLE001  a bug must cost one request, not the server
            return self.resume(error)
        if isinstance(found, Awaitable):
            self.pending, self._then = found, then
            return []
        return then(found)

    # --- the decision --------------------------------------------------------------------------

    @property
    def _held_back(self) -> bool:
        """Whether the request's headers are still to be answered when its body comes."""
        mode, _, early = self._protocol
        return mode == wire.FULL_DUPLEX_STREAMED or (early and mode == wire.STREAMED)

    def _decide(self, body: bytes) -> Replies:
        headers = self._headers
        assert headers is not None
        method = headers.pop(":method", "")
        self._path = path = headers.pop(":path", "")
        headers.pop(":scheme", None)
        authority = headers.pop(":authority", None)
        if authority is not None:
            headers["host"] = authority
        if self.door.reads is not None and self._exchange is not None:
            self.door.reads(self._exchange, path, headers, body)
            SENT.set(self._exchange.inside)
        try:
            asked = Request(method, path, headers, body, metered=self.door.counts)
            outcome = self.door.runtime.handle(asked)
        except Exception as error:  # noqa: BLE001  a bug must cost one request, not the server
            return self.resume(error)
        if isinstance(outcome, (Forward, Reply)):
            return self._answer(outcome)
        self.pending = outcome
        return []

    def _answer(self, outcome: Outcome) -> Replies:
        self._decided = True
        self._limited = outcome.record.caller is not None
        exchange = self._exchange
        if exchange is not None:
            exchange.routed(outcome.record)
        if isinstance(outcome, Reply):
            pairs = (("content-type", outcome.content_type), *outcome.report)
            return self._reply(outcome.status, pairs, outcome.body, "wayside_reply")
        if outcome.tap is not None and self.door.unseen >= _PATIENCE:
            return self._refuse(503, _UNWATCHED, "configuration_error")
        self._report = outcome.report
        if self.door.replicas is not None:
            try:
                self._chosen = chosen = self.door.replicas.choose(outcome, self._headers or {})
            except NoServer:
                return self._refuse(503, _NO_SERVER, "no_healthy_endpoint")
            except Exception as error:  # noqa: BLE001  a bug must cost one request, not the server
                return self.resume(error)
            if chosen is not None and chosen.reading is not None:
                self.pending, self._then = chosen.reading, self._have_read
                self._tap = self._settling = outcome.tap
                return []
        return self._go_on(outcome)

    def _have_read(self, read: Read) -> Replies:
        return self._go_on(read.forward, read.place)

    def _go_on(self, outcome: Forward, place: Place | None = None) -> Replies:
        """The request is as it goes to the model's server."""
        header = self.door.model_header or (GATEWAY_MODEL if outcome.record.caller else "")
        if header:
            pairs = (*outcome.set_headers, (header, header_text(outcome.target.name)))
            outcome = msgspec.structs.replace(outcome, set_headers=pairs)
        if self._chosen is not None:
            pairs = (*outcome.set_headers, (HEADER, self._chosen.hosts))
            outcome = msgspec.structs.replace(outcome, set_headers=pairs)
            if self.door.replicas is not None:
                self._chosen.sent(self.door.replicas.now, place)
        self._tap = self._settling = outcome.tap
        if self.door.counts:
            self._asked = Asked(outcome)
        path = "" if outcome.path == self._path else outcome.path
        door = self.door
        replies = self._forward(outcome, path, door)
        self._release()
        return replies

    def _forward(self, outcome: Forward, path: str, door: Door) -> Replies:
        pairs, remove = outcome.set_headers, outcome.remove_headers
        mode = self._protocol.request_body
        parent = b""
        if door.reads is not None and self._exchange is not None:
            parent = wire.traced(self._exchange.outgoing()[1])
        if not self._chunks:  # headers only
            common = door.mutation((pairs, remove, path, self._internal)) + parent
            replies = [wire.answer(wire.REQUEST_HEADERS, common)]
            return [*replies, _REQUEST_TRAILERS] if self._trailers else replies
        if not self._held_back:
            if not outcome.changed:
                common = door.mutation((pairs, remove, path, self._internal)) + parent
                return [wire.answer(wire.REQUEST_BODY, common)]
            # Envoy refuses a changed body whose length is not what content-length says.
            pairs = (*pairs, ("content-length", str(len(outcome.body))))
            common = door.mutation((pairs, remove, path, self._internal)) + parent
            return [wire.body_answer(common, outcome.body)]
        common = door.mutation((pairs, (*remove, "content-length"), path, self._internal)) + parent
        replies = [wire.answer(wire.REQUEST_HEADERS, common)]
        if mode == wire.FULL_DUPLEX_STREAMED:
            last = not self._trailers
            replies += wire.stream_answers(wire.REQUEST_BODY, outcome.body, last=last)
        elif outcome.changed:
            replies += [_CLEAR_CHUNK] * (len(self._chunks) - 1)
            replies.append(wire.body_answer(b"", outcome.body))
        else:
            replies += [_KEEP_CHUNK] * len(self._chunks)
        if self._trailers:
            replies.append(_REQUEST_TRAILERS)
        return replies

    # --- answering here ------------------------------------------------------------------------

    def _reply(self, status: int, pairs: HeaderPairs, body: bytes, details: str) -> Replies:
        self.done = True
        self._status = status
        if self._exchange is not None:
            self._exchange.first_byte(status)
        self._release()
        return [wire.immediate(status, wire.mutation(pairs), body, details)]

    def _refuse(self, status: int, why: str, code: str, also: HeaderPairs = ()) -> Replies:
        """Answer with an error in the client's words; for what the core never sees."""
        self._decided = True
        headers = self._headers or {}
        path = self._path or headers.get(":path", "")
        body, more = shell_error(path, headers, status, why, code)
        if self._exchange is not None:
            self._exchange.routed(Record(path="error", reason=code))
        return self._reply(status, (*_REFUSAL, *also, *more), body, f"wayside_{code}")

    def _refuse_large(self) -> Replies:
        limit = self.door.max_body_bytes
        return self._refuse(413, f"the body is larger than {limit} bytes", "request_too_large")

    def _release(self) -> None:
        self.door.held -= self._size
        self._size = 0
        self._chunks = []


def _leave_alone(
    phase: int, data: bytes, start: int, end: int, protocol: wire.Protocol
) -> Replies:
    """Continue without a change, in the words of the phase."""
    if phase in (wire.REQUEST_TRAILERS, wire.RESPONSE_TRAILERS):
        return [wire.trailers_answer(phase)]
    if phase in (wire.REQUEST_BODY, wire.RESPONSE_BODY):
        mode = protocol[0] if phase == wire.REQUEST_BODY else protocol[1]
        if mode == wire.FULL_DUPLEX_STREAMED:
            # An empty CommonResponse here makes Envoy answer 500: the body has to be given back.
            body, last = wire.read_body(data, start, end)
            return wire.stream_answers(phase, body, last=last)
    return [wire.answer(phase, b"")]


def _not_theirs(name: str) -> bool:
    """Whether no client may set the lower-case ``name``: ours, or an Envoy's in the spelling that
    servers which read headers through CGI names take for it. The rest of those Envoy keeps."""
    plain = name.replace("_", "-")
    return is_internal(plain) or (plain != name and plain.startswith(ENVOYS))


def _may_be_internal(data: bytes) -> bool:
    return (
        b"x-vsr-" in data
        or b"x-wayside-" in data
        or b"x-maas-" in data
        or b"x-selected-" in data
        or (b"x-gateway-" in data)
    )


_PATIENCE: Final = 3
"""Watched whole answers that may end without a body, as a client that leaves can make them,
before requests whose answers are to be watched are refused."""
_TRIES: Final = 16
"""Answers that an Envoy may not show, as clients that leave can make them, before it is taken for
one that shows none."""
_UNCOUNTED: Final = (
    "Envoy does not show answers, so tokens and cost are not counted: set allow_mode_override to "
    "true on its ext_proc filter, or extproc.count_usage to false"
)
_UNWATCHED: Final = (
    "Envoy does not show the answers that guards must watch: set allow_mode_override to true on "
    "its ext_proc filter"
)
_NO_SERVER: Final = "no server can take this request"
_GATEWAY_ERRORS: Final = frozenset({b"502", b"503", b"504"})
_REFUSAL: Final[HeaderPairs] = (
    ("content-type", "application/json"),
    ("x-vsr-schema-version", "2"),
    ("x-vsr-response-path", "error"),
)
_CANNOT_ROUTE: Final = (
    "Envoy streams the request body without waiting: set request_body_mode to BUFFERED or "
    "FULL_DUPLEX_STREAMED, or allow_mode_override to true, on its ext_proc filter"
)
_NO_PLACE: Final = (
    "the answer ended with trailers, where Envoy takes no more of its text: set "
    "response_body_mode to FULL_DUPLEX_STREAMED"
)
_CONTINUE: Final = wire.answer(wire.REQUEST_HEADERS, b"")
_CONTINUE_BUFFERED: Final = wire.answer(
    wire.REQUEST_HEADERS, b"", wire.mode_override(request_body=wire.BUFFERED)
)
_CLEAR_CHUNK: Final = wire.answer(wire.REQUEST_BODY, wire.CLEAR_BODY)
_KEEP_PIECE: Final = wire.answer(wire.RESPONSE_BODY, b"")
_CLEAR_PIECE: Final = wire.answer(wire.RESPONSE_BODY, wire.CLEAR_BODY)
_KEEP_CHUNK: Final = wire.answer(wire.REQUEST_BODY, b"")
_REQUEST_TRAILERS: Final = wire.trailers_answer(wire.REQUEST_TRAILERS)
