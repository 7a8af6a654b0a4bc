"""Asks models on behalf of the core: one request over the fleet's endpoints, one whole answer.

The same replicas as the gateway's own traffic, counted with it, with the model's path, name,
headers, key, TLS and timeouts; in both shells, since nothing here needs a client's connection.
Nothing is sent twice but where nothing was read: an answer that is an error is an answer. When the
one who asked is gone, the connection is dropped, which is how a model's server learns of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import httptools
import msgspec

from wayside.dialects import UNREADABLE, Edit, decode
from wayside.dialects.openai_chat import PATH
from wayside.dialects.stage import Unreadable
from wayside.dialects.whole import shaped
from wayside.fleet import DialError, Dice, Fleet, Pool, Replica, dial
from wayside.flow import Policy, Served
from wayside.flow.protocols import SERVERS, only_openai, upstream_path
from wayside.net.h1 import LINE, Answer, ClosedBeforeAnswer, Connection, TooLarge
from wayside.vocab.ask import Ask
from wayside.vocab.calls import Complete, Completed, Lane, Tokens
from wayside.vocab.endpoint import Need
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.headers import ENVOYS, HOP_BY_HOP, is_internal
from wayside.vocab.outcome import Forward
from wayside.vocab.usage import taken

MAX_ANSWER: Final = 16 << 20
"""Bytes of an answer; a longer one is no answer."""
ATTEMPTS: Final = 3
"""Replicas tried for one question when connecting fails: nothing was sent there."""
IDLE_S: Final = 30.0
IDLE_MAX: Final = 32
"""Connections kept per replica, and for how long."""
CANCELLED, UNANSWERED = "cancelled", "unanswered"
_ERRORS: Final = frozenset({500, 502, 503, 504})
_UNSENDABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS: Final = frozenset({"host", "content-length", "content-type", "accept", "accept-encoding"})
_ENDS_HERE: Final = HOP_BY_HOP | {"content-encoding", "expect"}
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Counts(Protocol):
    """Told of every question when it is over: the model, how it ended (a status, ``cancelled`` or
    ``unanswered``), and the tokens it took, where its server said."""

    def __call__(self, model: str, outcome: str, tokens: Tokens | None) -> None: ...


class Calls:
    """Answers :class:`Complete`."""

    def __init__(
        self,
        policy: Callable[[], Policy],
        fleet: Fleet,
        counts: Counts,
        dice: Dice,
    ) -> None:
        """``policy`` is the one in force; a model that a reload has removed is not asked."""
        self._policy, self._fleet, self._counts, self._dice = policy, fleet, counts, dice
        self._lanes: WeakKeyDictionary[Lane, asyncio.Semaphore] = WeakKeyDictionary()
        self._idle: dict[Replica, list[tuple[Connection, float]]] = {}

    def answerers(self) -> Mapping[type[Ask[Any]], Callable[[Any], Any]]:
        return {Complete: self.ask}

    async def ask(self, question: Complete) -> Completed:
        """The answer, whatever its status. Raises :class:`AskFailed` where there is none."""
        outcome, tokens = UNANSWERED, None
        try:
            async with asyncio.timeout(question.timeout_s):
                answer = await self._in_lane(question)
            outcome = str(answer.status)
            tokens = taken(answer.body, question.body) if answer.succeeded else None
            return answer
        except TimeoutError as error:
            raise AskFailed(
                f"{question.model} did not answer in time ({question.timeout_s:.3g} s)"
            ) from error
        except asyncio.CancelledError:
            outcome = CANCELLED
            raise
        finally:
            self._counts(question.model, outcome, tokens)

    async def to(
        self, pool: Pool, replica: Replica, forward: Forward, body: bytes, need: Need | None
    ) -> Answer:
        """One request to one server, as the client's would be but for its ``body``; its headers
        are those of ``need``. Raises :class:`AskFailed` and :class:`DialError`."""
        pool.began(replica, need)
        try:
            head = _lines(forward.path, _passed(forward, need), len(body))
            return await self._at(pool, replica, head(replica), body)
        except DialError:
            pool.failed(replica, asyncio.get_running_loop().time())
            raise
        finally:
            pool.ended(replica, need)

    def close(self) -> None:
        """Close the connections that are kept."""
        for kept in self._idle.values():
            for connection, _ in kept:
                connection.drop()
        self._idle.clear()

    async def _in_lane(self, question: Complete) -> Completed:
        lane = question.lane
        if lane is None:
            return await self._send(question)
        gate = self._lanes.get(lane)
        if gate is None:
            gate = self._lanes[lane] = asyncio.Semaphore(lane.width)
        async with gate:
            return await self._send(question)

    async def _send(self, question: Complete) -> Completed:
        served = self._policy().concrete.get(question.model)
        pool = self._fleet.pools.get(question.model)
        if served is None or pool is None:
            raise AskFailed(f"{question.model} is no model any more")
        server = SERVERS.get(served.target.protocol)
        edit = Edit(question.body)
        edit.set("model", question.lora or served.target.upstream_name)
        if served.target.strict:
            only_openai(edit)
        try:
            body = edit.encode() if server is None else server.request(edit)[0]
        except RequestError as error:
            raise AskFailed(f"{question.model} cannot be asked this: {error}") from error
        path = upstream_path(served.target, PATH if server is None else server.path)
        extra = () if server is None else server.headers
        try:
            head = _head(path, question, served, dict(extra), len(body))
        except RequestError as error:
            raise AskFailed(f"{question.model} cannot be asked: {error}") from error
        clock = asyncio.get_running_loop().time
        began = clock()
        need = pool.need(
            question.lora or served.target.upstream_name,
            body,
            {name.lower(): value for name, value in question.headers},
            began,
            self._dice,
        )
        answer = await self._exchange(question.model, pool, head, body, need)
        raw = bytes(answer.body)
        if 200 <= answer.status < 300:
            raw = _readable(question.model, raw if server is None else _told(server, raw))
        return Completed(question.model, answer.status, raw, clock() - began)

    async def _exchange(
        self, model: str, pool: Pool, head: _Head, body: bytes, need: Need | None
    ) -> Answer:
        """Try replicas until one can be sent to; what it says is the answer."""
        tried: tuple[Replica, ...] = ()
        while True:
            replica = await self._turn(model, pool, tried, need)
            began = asyncio.get_running_loop().time()
            try:
                answer = await self._at(pool, replica, head(replica), body)
                if answer.status < 400:
                    pool.answered(replica, need, asyncio.get_running_loop().time() - began)
                return answer
            except DialError as error:
                pool.failed(replica, asyncio.get_running_loop().time())
                tried += (replica,)
                if len(tried) >= min(ATTEMPTS, len(pool.replicas)):
                    late = " in time" if error.reason == "connect_timeout" else ""
                    raise AskFailed(f"{model}: no connection to {replica.name}{late}") from error
            finally:
                pool.ended(replica, need)

    async def _turn(
        self, model: str, pool: Pool, tried: tuple[Replica, ...], need: Need | None
    ) -> Replica:
        """The replica to send to, counted as busy; waits while the model is sent enough."""
        loop = asyncio.get_running_loop()

        def begin() -> Replica:
            now = loop.time()
            if need is not None:
                need.now = now
            replica = pool.pick(now, self._dice, tried, need) or pool.pick(
                now, self._dice, (), need
            )
            if replica is None:
                raise AskFailed(f"{model} has no server")
            pool.began(replica, need)
            return replica

        pool.look(loop.time())
        if not pool.full:
            return begin()
        turn: asyncio.Future[Replica | None] = loop.create_future()

        def wake() -> None:
            if turn.done():
                return
            try:
                turn.set_result(begin())
            except AskFailed:
                turn.set_result(None)

        def refuse() -> None:
            if not turn.done():
                turn.set_result(None)

        limits = pool.settings.queue
        place = pool.line.join(0, limits.max_queue, wake, refuse)
        busy = AskFailed(f"{model} is busy: too many requests wait for it")
        if place is None:
            raise busy
        try:
            async with asyncio.timeout(limits.timeout_s):
                replica = await asyncio.shield(turn)
        except BaseException as error:
            pool.line.leave(place)
            if turn.done() and (given := turn.result()) is not None:
                pool.ended(given, need)
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise busy from error
            raise
        if replica is None:
            raise busy
        return replica

    async def _at(self, pool: Pool, replica: Replica, head: bytes, body: bytes) -> Answer:
        """One request to one replica."""
        loop = asyncio.get_running_loop()
        patience = replica.timeouts.first_byte_s
        try:
            async with asyncio.timeout(patience):
                answer = await self._talk(replica, head + body)
        except TimeoutError as error:
            # The question's own time may have run out before: then this is not reached.
            pool.failed(replica, loop.time())
            raise AskFailed(f"{replica.name} did not answer in time ({patience:.3g} s)") from error
        except (TooLarge, httptools.HttpParserError) as error:
            pool.failed(replica, loop.time())
            what = f"more than {MAX_ANSWER} bytes" if isinstance(error, TooLarge) else "no HTTP"
            raise AskFailed(f"{replica.name} answered with {what}") from error
        except OSError as error:
            pool.failed(replica, loop.time())
            raise AskFailed(f"{replica.name} broke off the connection") from error
        _judge(pool, replica, answer, loop.time())
        return answer

    async def _talk(self, replica: Replica, request: bytes) -> Answer:
        """Over a kept connection if there is one; closed meanwhile, over another, once."""
        kept = self._take(replica)
        if kept is not None:
            try:
                return await self._over(kept, replica, request)
            except ClosedBeforeAnswer:
                pass  # it was closed while idle, so nothing was read there
        link = await dial(replica, self._fleet.resolver, _Link)
        return await self._over(link.connection, replica, request)

    async def _over(self, connection: Connection, replica: Replica, request: bytes) -> Answer:
        try:
            return await connection.exchange(request, MAX_ANSWER, None)
        finally:
            self._keep(replica, connection)

    def _take(self, replica: Replica) -> Connection | None:
        kept = self._idle.get(replica, [])
        now = asyncio.get_running_loop().time()
        while kept:
            connection, since = kept.pop()
            if not connection.stale and now - since < IDLE_S:
                return connection
            connection.drop()
        return None

    def _keep(self, replica: Replica, connection: Connection) -> None:
        """Keep a connection that can be used again, and none of servers that are gone."""
        for gone in [r for r in self._idle if r.retired]:
            for other, _ in self._idle.pop(gone):
                other.drop()
        kept = self._idle.setdefault(replica, [])
        if connection.reusable and not replica.retired and len(kept) < IDLE_MAX:
            kept.append((connection, asyncio.get_running_loop().time()))
        else:
            connection.drop()


class _Link(asyncio.StreamReaderProtocol):
    """A connection as :func:`dial` makes one."""

    connection: Connection

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._own_loop = loop
        self._own_reader = asyncio.StreamReader(limit=LINE, loop=loop)
        super().__init__(self._own_reader, loop=loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "write")
        writer = asyncio.StreamWriter(transport, self, self._own_reader, self._own_loop)  # type: ignore[arg-type]
        self.connection = Connection(self._own_reader, writer)

    def close(self) -> None:
        self.connection.drop()


_Head = Callable[[Replica], bytes]


def _head(
    path: str, question: Complete, served: Served, extra: Mapping[str, str], length: int
) -> _Head:
    """The head of the request; the client's headers lose to the model's own, and its keys for
    providers go no further than :meth:`Served.set_headers` lets them. Raises
    :class:`RequestError` where the model needs one that is missing."""
    target = served.target
    gone = {name.lower() for name in served.remove}
    if target.protocol != "anthropic":
        gone |= {"anthropic-version", "anthropic-beta"}
    if not target.keeps_authorization:
        gone.add("authorization")
    given = {k: v for k, v in question.headers if k not in gone and not is_internal(k)}
    fields = {**extra, **given}
    ours = served.set_headers(dict(question.headers))
    fields |= {name.lower(): value for name, value in ours}
    return _lines(path, {k: v for k, v in fields.items() if k not in _OURS}, length)


def _passed(forward: Forward, need: Need | None) -> dict[str, str]:
    """The headers of a client's request as they go on, with those that are set on it."""
    gone = {name.lower() for name in forward.remove_headers}
    if not forward.target.keeps_authorization:
        gone.add("authorization")
    given = {} if need is None else need.headers
    fields = {
        name: value
        for name, value in given.items()
        if name not in gone
        and name not in _ENDS_HERE
        and not name.startswith((":", ENVOYS))
        and not is_internal(name)
    }
    fields |= {name.lower(): value for name, value in forward.set_headers}
    return {name: value for name, value in fields.items() if name not in _OURS}


def _lines(path: str, fields: dict[str, str], length: int) -> _Head:
    fields |= {"content-type": "application/json", "accept": "application/json"}
    fields |= {"accept-encoding": "identity", "content-length": str(length)}
    lines = "".join(f"{name}: {_UNSENDABLE.sub(' ', value)}\r\n" for name, value in fields.items())
    first = f"POST {path} HTTP/1.1\r\n".encode("ascii")
    rest = f"{lines}\r\n".encode("latin-1", "replace")
    return lambda replica: first + replica.host_line + rest


def _told(server: Any, raw: bytes) -> bytes:
    """An answer of another API as a chat completion."""
    try:
        found: bytes = server.stage(usage=True).whole(200, raw)
    except Unreadable as error:
        raise AskFailed(f"its server's answer cannot be read: {error}") from error
    return found


def _readable(model: str, raw: bytes) -> bytes:
    """The answer as every reader of JSON takes it (half surrogates mended)."""
    try:
        said, raw = decode(_decoder, raw)
    except UNREADABLE as error:
        raise AskFailed(f"{model} answered something that is not JSON") from error
    if not shaped(said):
        raise AskFailed(f"{model} answered something that is no completion")
    return raw


def _judge(pool: Pool, replica: Replica, answer: Answer, now: float) -> None:
    """What an answer says of the replica that gave it."""
    if answer.status in _ERRORS:
        pool.erred(replica, now)
    else:
        replica.answers()
        replica.answered(now)
        replica.completed()
    after = answer.headers.get("retry-after", "")
    if answer.status in (429, 503) and after.isascii() and after.isdigit():
        pool.cool(replica, now + min(int(after), pool.settings.retries.longest_retry_after_s))
