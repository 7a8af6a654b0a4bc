"""HTTP/1.1 to one API server: requests on connections that are kept, and answers without end.

A watch has a connection of its own (:mod:`wayside.kube.stream`). Nothing is asked without a time
limit.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httptools

from wayside.kube.access import Access
from wayside.kube.errors import Unreachable, refusal
from wayside.kube.stream import MAX_LINE, Stream
from wayside.net.h1 import Answer, ClosedBeforeAnswer, Connection, TooLarge
from wayside.vocab.errors import ConfigError

MAX_ANSWER: Final = 64 << 20
"""Bytes of one answer. A page of 500 pods has about 10 MB."""
KEPT: Final = 8
"""Idle connections that are kept, for at most :data:`IDLE_S` seconds each; API servers close
theirs after three minutes."""
IDLE_S: Final = 60.0
AT_ONCE: Final = 32
"""Requests under way; the others wait, within their time. Watches are not counted."""
_META: Final = "g=meta.k8s.io;v=v1"


def anything() -> bool:
    """Nothing stands against a write."""
    return True


class Wire:
    """Connections to the server of ``access``, of the event loop that is running.

    ``may_write`` is asked at the last moment before anything but a GET is sent, also on a
    connection that had to be waited for; where it says no, nothing is sent and the ask is
    :class:`Unreachable`. ``answered`` hears of every answer: its method and status, 0 for none.
    """

    def __init__(
        self,
        access: Access,
        *,
        partial: bool = False,
        may_write: Callable[[], bool] = anything,
        answered: Callable[[str, int], None] | None = None,
    ) -> None:
        """Raises :class:`ConfigError` for certificates that cannot be used."""
        self.access = access
        self._partial, self._may_write, self._answered = partial, may_write, answered
        self._idle: list[tuple[float, Connection]] = []
        self._stamp = access.stamp()
        self._tls = access.tls()
        self._free = asyncio.Semaphore(AT_ONCE)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        timeout_s: float,
    ) -> Answer:
        """The answer to one request, whatever its status.

        A GET whose kept connection turns out to be closed is sent once more on a new one.
        Raises :class:`Unreachable`.
        """
        what = f"{method} {target.partition('?')[0]}"
        status = 0
        try:
            async with asyncio.timeout(timeout_s), self._free:
                token = self._token()
                answer = await self._once(method, target, body, content_type, token)
                if answer.status == 401 and self.access.token.refused(token, self._now()):
                    token = self._token()
                    answer = await self._once(method, target, body, content_type, token)
                status = answer.status
                return answer
        except TimeoutError as error:
            raise Unreachable(f"{what}: no answer in {timeout_s:g} s") from error
        except OSError as error:
            raise self._unreachable(what, error) from error
        except TooLarge as error:
            raise Unreachable(f"{what}: answered more than {MAX_ANSWER} bytes") from error
        except httptools.HttpParserError as error:
            raise Unreachable(f"{what}: did not answer with HTTP") from error
        finally:
            if self._answered is not None:
                self._answered(method, status)

    @asynccontextmanager
    async def lines(
        self, target: str, *, begin_s: float, whole_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on: its head within ``begin_s`` seconds, its end
        within ``whole_s``.

        Raises :class:`Unreachable`, and the :class:`Refused` of another status than 200. An
        answer that the server ends is the end of the lines.
        """
        what = f"GET {target.partition('?')[0]} (watch)"
        stream: Stream | None = None
        try:
            try:
                async with asyncio.timeout(begin_s):
                    token = self._token()
                    stream = await self._stream(target, token)
                    if stream.status == 401 and self.access.token.refused(token, self._now()):
                        stream.close()
                        stream = await self._stream(target, self._token())
                    if stream.status != 200:
                        body = await stream.rest(MAX_LINE)
                        raise refusal(what, stream.status, body, retry_after(stream.headers))
            except TimeoutError as error:
                raise Unreachable(f"{what}: no answer in {begin_s:g} s") from error
            try:
                async with asyncio.timeout(whole_s):
                    yield stream.lines()
            except TimeoutError as error:
                raise Unreachable(f"{what}: went on for more than {whole_s:g} s") from error
        except OSError as error:
            raise self._unreachable(what, error) from error
        except TooLarge as error:
            raise Unreachable(f"{what}: an event has more than {MAX_LINE} bytes") from error
        except httptools.HttpParserError as error:
            raise Unreachable(f"{what}: did not answer with HTTP") from error
        finally:
            if stream is not None:
                stream.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.drop()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _token(self) -> str:
        return self.access.token.get(self._now())

    async def _once(
        self, method: str, target: str, body: bytes, content_type: str, token: str
    ) -> Answer:
        head = self._head(method, target, token, len(body), content_type)
        connection = self._kept()
        if connection is not None:
            try:
                self._guard(method, connection)
                return await self._exchange(connection, head + body)
            except ClosedBeforeAnswer:
                if method != "GET":  # it may have been done
                    raise
        server, tls = self.access.server, self._context()
        name = (self.access.server_name or server.host) if tls is not None else None
        connection = await Connection.open(server, tls, name)
        self._guard(method, connection)
        return await self._exchange(connection, head + body)

    def _guard(self, method: str, connection: Connection) -> None:
        if method != "GET" and not self._may_write():
            connection.drop()
            raise Unreachable(f"{method}: not sent, this process does not lead any more")

    async def _exchange(self, connection: Connection, request: bytes) -> Answer:
        try:
            return await connection.exchange(request, MAX_ANSWER, None)
        finally:
            if connection.reusable and len(self._idle) < KEPT:
                self._idle.append((self._now(), connection))
            else:
                connection.drop()

    def _kept(self) -> Connection | None:
        """A connection that is still good, the youngest first, under the certificates of now."""
        self._context()
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.stale and self._now() - since < IDLE_S:
                return connection
            connection.drop()
        return None

    def _context(self) -> ssl.SSLContext | None:
        """The TLS context, made anew when a certificate or key has been replaced; connections
        under the old one are not used again."""
        stamp = self.access.stamp()
        if stamp != self._stamp:
            try:
                self._tls = self.access.tls()
            except ConfigError as error:  # half of a rotation, perhaps: the next ask looks again
                raise Unreachable(str(error)) from None
            self._stamp = stamp
            self.close()
        return self._tls

    async def _stream(self, target: str, token: str) -> Stream:
        server, tls = self.access.server, self._context()
        name = (self.access.server_name or server.host) if tls is not None else None
        head = self._head("GET", target, token, 0, "", f"as=PartialObjectMetadata;{_META}")
        return await Stream.open(server, tls, name, head)

    def _head(
        self,
        method: str,
        target: str,
        token: str,
        length: int,
        content_type: str,
        part: str = f"as=PartialObjectMetadataList;{_META}",
    ) -> bytes:
        server = self.access.server
        accept = f"application/json;{part}" if self._partial else "application/json"
        fields = [
            f"{method} {server.base_path}{target} HTTP/1.1",
            f"host: {server.authority}",
            f"accept: {accept}",
            "user-agent: wayside",
        ]
        if token:
            fields.append(f"authorization: Bearer {token}")
        if length:
            fields += [f"content-type: {content_type}", f"content-length: {length}"]
        return ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1")

    def _unreachable(self, what: str, error: OSError) -> Unreachable:
        if isinstance(error, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted: {error.verify_message}"
        elif isinstance(error, ssl.SSLError):
            why = f"does not speak TLS as expected: {error.reason}"
        else:
            why = error.strerror or str(error) or type(error).__name__
        return Unreachable(f"{what}: {self.access.server.authority}: {why}")


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a ``Retry-After`` (RFC 9110, 10.2.3); API servers send no dates there."""
    text = headers.get("retry-after", "")
    return float(text[:6]) if text.isascii() and text.isdigit() else 0.0
