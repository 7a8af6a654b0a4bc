"""One attempt at an answer: a request on its way to one replica, until its answer begins.

An attempt owns its connection up to the first byte of the answer's body. Until then nothing went
to the client, so the errand it belongs to may drop it and make another.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, cast

from wayside.fleet import DialError, Pool, Replica, dial
from wayside.gateway.failures import TOLD_MAX, TOO_LONG, can_answer, is_error
from wayside.gateway.head import ResponseHead
from wayside.gateway.replies import encode_pairs
from wayside.gateway.upstream import Upstream
from wayside.telemetry.context import TRACEPARENT
from wayside.vocab.endpoint import Need
from wayside.vocab.headers import HOP_BY_HOP
from wayside.vocab.outcome import HeaderPairs, Tried

if TYPE_CHECKING:
    from wayside.gateway.errand import Errand

STALE_S = 1.0
"""A kept connection that dies this soon after a request, unanswered, was closed before it."""
NEVER = float("inf")

_PATH = re.compile(r"/[\x21-\x7e]*")
_OURS_UPSTREAM = HOP_BY_HOP | {"accept-encoding", "content-length", "expect", "host"}
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})

Kind = Literal["first", "retry", "hedge"]


class Attempt:
    """``deadline`` is when its next step is overdue, in the loop's time."""

    __slots__ = (
        "_head",
        "_span",
        "_stale",
        "_told",
        "began",
        "body_bytes",
        "deadline",
        "errand",
        "kind",
        "model",
        "need",
        "pool",
        "replica",
        "sent_at",
        "task",
        "upstream",
        "wants_plain",
    )

    def __init__(
        self,
        errand: Errand,
        pool: Pool,
        replica: Replica,
        kind: Kind,
        now: float,
        need: Need | None = None,
    ) -> None:
        self.errand: Errand | None = errand
        """Whose it is, until it is over or its answer begins; then nothing holds the other."""
        self.pool, self.replica, self.kind = pool, replica, kind
        self.model = errand.forward.target.name
        self.body_bytes = len(errand.forward.body)
        self.wants_plain = errand.door.wants_plain
        self.began = self.sent_at = now
        self.deadline = NEVER
        self.upstream: Upstream | None = None
        self.task: asyncio.Task[None] | None = None
        self._stale = False
        self._span = ""
        self._head: ResponseHead | None = None
        self._told: bytearray | None = None
        """A 400 that is read for whether the prompt is too long."""
        self.need = need
        """What its replica was picked by, where a strategy wants to hear of it."""
        pool.began(replica, need)

    def start(self, now: float) -> None:
        """Send it over a kept connection, or over one that is yet to be made."""
        idle = self.replica.take(now)
        if idle is not None:
            self.send(cast(Upstream, idle), now)
        else:
            self._connect_anew()

    def _connect_anew(self) -> None:
        assert self.errand is not None
        self._due(NEVER)  # connecting has a limit of its own
        self.task = self.errand.door.loop.create_task(self._connect(self.errand))

    async def _connect(self, errand: Errand) -> None:
        door = errand.door
        loop = door.loop
        try:
            upstream = await dial(
                self.replica, door.server.fleet.resolver, lambda: Upstream(loop.time())
            )
        except DialError as error:
            self.task = None
            errand.failed(self, error.reason)
            return
        except Exception:  # noqa: BLE001 - the shell's last resort
            self.task = None
            door.fault()
            return
        self.task = None
        self.send(upstream, loop.time())

    def send(self, upstream: Upstream, now: float) -> None:
        errand = self.errand
        assert errand is not None
        door, forward = errand.door, errand.forward
        head, exchange = door.head, door.exchange
        assert head is not None
        assert exchange is not None
        body, method = forward.body, head.method
        try:
            ours, lines = _prepared(
                forward.set_headers, forward.remove_headers, forward.target.keeps_authorization
            )
            parts = [_start_line(method, forward.path), self.replica.host_line, lines]
        except ValueError:
            upstream.drop()
            door.fault()
            return
        passed = head.passed
        if door.server.reads is not None:
            self._span, parent = exchange.outgoing()
            if parent:  # in the place of the client's own
                parts.append(b"traceparent: %b\r\n" % parent.encode("ascii"))
                passed = [f for f in passed if f.name != TRACEPARENT]
        parts += [f.line for f in passed if f.name not in ours]
        if body or method not in _WITHOUT_BODY:
            parts.append(b"content-length: %d\r\n" % len(body))
        parts.append(b"x-request-id: %b\r\n\r\n" % exchange.request_id.encode("latin-1"))
        self.upstream = upstream
        self.sent_at = now
        self._due(now + self.replica.head_s)
        if not upstream.alive:  # it closed between its connect and now
            self.upstream_lost(upstream, "upstream_closed")
            return
        upstream.begin(self, b"".join(parts), body, bodiless=method == "HEAD", now=now)

    def _due(self, deadline: float) -> None:
        assert self.errand is not None
        self.deadline = deadline
        self.errand.look_again()

    # The upstream's answer, as far as it concerns an attempt

    def respond(self, head: ResponseHead, first: bytes) -> None:
        errand = self.errand
        assert errand is not None
        self.replica.on_trial = False
        if head.status >= 400:
            if head.status == 400 and errand.minds_length:
                self._head, self._told = head, bytearray(first)
            else:
                errand.answered(self, head, first)
            return
        if errand.asks_model and not can_answer(head, stream=errand.wants_events):
            self._fail("upstream_invalid_response")
        elif first or head.length == 0:
            self._begins(errand, head, first)
        else:
            # Servers send the head of a stream long before its first token: as long as nothing
            # of the answer itself is here, somebody else may still give it.
            self._head = head
            self._due(self.sent_at + self.replica.token_s)

    def relay(self, data: bytes) -> None:
        head, errand = self._head, self.errand
        assert head is not None
        assert errand is not None
        if self._told is not None:
            self._told += data
            if len(self._told) <= TOLD_MAX:
                return
            data = bytes(self._told)
            errand.answered(self, head, data)
        else:
            self._begins(errand, head, data)

    def _begins(self, errand: Errand, head: ResponseHead, first: bytes) -> None:
        """An answer is here, unless it says itself that it is none."""
        if errand.asks_model and not head.stream and is_error(first):
            self._fail("upstream_invalid_response")
        else:
            errand.answered(self, head, first)

    def response_ended(self, upstream: Upstream) -> None:
        head, errand = self._head, self.errand
        assert head is not None
        assert errand is not None
        told = bytes(self._told or b"")
        too_long = any([words in told for words in TOO_LONG])
        if self._told is None and errand.asks_model:  # it had no body
            self._fail("upstream_invalid_response")
            return
        self.upstream = None
        errand.answered(self, head, told, ended=upstream, too_long=too_long)

    def upstream_lost(self, upstream: Upstream, reason: str) -> None:
        """The connection ended before the answer began."""
        self.upstream = None
        errand = self.errand
        if errand is None:
            return
        now = errand.door.loop.time()
        stale = (
            upstream.uses > 1
            and not upstream.answered
            and not self._stale
            and now - upstream.sent_at < STALE_S
        )
        if not stale:
            errand.failed(self, reason)
            return
        # The server closed a kept connection while our request was on its way to it, so it
        # has not read it (RFC 9112 section 9.3.1). Once, on a connection of its own.
        self._stale = True
        exchange = errand.door.exchange
        assert exchange is not None
        exchange.attempt(self.replica.name)
        exchange.tried(self.tried("stale_connection", now))
        self._connect_anew()

    def expire(self) -> None:
        """Its server took too long."""
        self._fail("upstream_timeout")

    def _fail(self, reason: str) -> None:
        errand = self.errand
        assert errand is not None
        self.drop()
        errand.failed(self, reason)

    def drop(self) -> None:
        """Stop it, wherever it is."""
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.upstream is not None:
            self.upstream.drop()
            self.upstream = None

    def tried(self, outcome: str, now: float, status: int = 0) -> Tried:
        return Tried(
            endpoint=self.replica.name,
            model=self.model,
            outcome=outcome,
            kind=self.kind,
            status=status,
            seconds=now - self.began,
            sent=self.body_bytes,
            span=self._span,
        )


class Leftover:
    """Takes an answer that nobody wants, if all of it is here: its connection is still good."""

    __slots__ = ("_replica",)

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def relay(self, data: bytes) -> None: ...

    def response_ended(self, upstream: Upstream) -> None:
        if upstream.reusable and upstream.alive:
            self._replica.keep(upstream, upstream.sent_at)
        else:
            upstream.close()

    def upstream_lost(self, upstream: Upstream, reason: str) -> None: ...


@lru_cache(1024)
def _start_line(method: str, path: str) -> bytes:
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} cannot be sent as a path")
    return f"{method} {path} HTTP/1.1\r\n".encode("ascii")


@lru_cache(1024)
def _prepared(
    given: HeaderPairs, removed: tuple[str, ...], keeps_authorization: bool
) -> tuple[frozenset[str], bytes]:
    """Which of the client's headers do not go upstream, and the lines that do instead.

    A response must be readable for its usage, so compression is never asked for.
    """
    ours = {name.lower() for name in removed}
    if not keeps_authorization:
        ours.add("authorization")
    pairs = []
    for name, value in given:
        lower = name.lower()
        if lower in _OURS_UPSTREAM or lower == "x-request-id":
            continue
        ours.add(lower)
        pairs.append((lower, value))
    pairs.append(("accept-encoding", "identity"))
    return frozenset(ours), encode_pairs(tuple(pairs))
