"""A small HTTP/1.1 client for engines and stores that ask a server: one host, JSON both ways.

Our own, over asyncio's streams and the parser that the simulator uses, because the whole need is
a bounded request: it never follows a redirect, never talks to another host than the configured
one, reads no more than it was told, keeps connections, and adds no dependency. Every failure is an
:class:`~wayside.vocab.errors.AskFailed` or `TimeoutError` whose text holds no key and no prompt.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

import httptools
import msgspec
from pydantic import Field, PositiveInt, field_validator

from wayside.net.h1 import Answer, ClosedBeforeAnswer, Connection, Enough, TooLarge
from wayside.settings import CredentialSettings, Settings, TlsSettings
from wayside.settings.address import Address, parse_address
from wayside.telemetry.context import SENT, TRACEPARENT
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.headers import header_name, header_value
from wayside.vocab.outcome import Credential

RETRIED: Final = frozenset([408, 425, 429, 500, 502, 503, 504])
"""Answers that another try may change (RFC 9110, 15.5.9 and 15.6; RFC 6585; RFC 8470)."""
FIRST_PAUSE_S: Final = 0.05


class RemoteSettings(Settings):
    """A server that is asked over HTTP."""

    base_url: Annotated[str, Field(min_length=1, max_length=2048)]
    """Where it is: ``https://host[:port][/path]``. Only this host is ever asked."""
    credential: CredentialSettings | None = None
    """The key it wants, by reference only."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Set on every request."""
    tls: TlsSettings = TlsSettings()
    """How an https server is verified."""
    deadline_ms: PositiveInt = 2_000
    """For the whole ask, retries included."""
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    """Further tries after 408, 425, 429, 5xx or a broken connection, while there is time."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    """Requests at once; each keeps a connection."""
    queue: Annotated[int, Field(ge=1, le=65536)] = 64
    """Asks that may wait for one of those; one more is refused."""
    max_bytes: PositiveInt = 16 << 20
    """A larger answer is refused."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if "://" not in value:
            raise ValueError("write http:// or https:// before the host")
        parse_address(value)
        return value

    @field_validator("headers")
    @classmethod
    def _header_fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            header_name(name)
            header_value(text)
            if name.lower() in _OURS:
                raise ValueError(f"{name} is set by the client itself; leave it out")
        return value


_OURS: Final = ("host", "content-length", "transfer-encoding", "connection", "content-type")


class Tools(Protocol):
    """What a client needs to know of the one who asks: its name, and how to find keys."""

    @property
    def name(self) -> str: ...
    @property
    def keys(self) -> Callable[[CredentialSettings, str], Credential]: ...


class Client:
    """Asks one server. Connections belong to the event loop that is running when they are made.

    ``kind`` is what the one who asks is (``engine``, ``store``), for messages and paths.
    """

    def __init__(self, rule: RemoteSettings, tools: Tools, kind: str = "engine") -> None:
        """Raises :class:`ConfigError` for a key or certificate that cannot be read."""
        self.name, self.kind = tools.name or rule.base_url, kind
        self.address = parse_address(rule.base_url)
        where = f"{kind}s.{tools.name}" if tools.name else ""
        self._credential: Credential | None = None
        if rule.credential is not None:
            self._credential = tools.keys(rule.credential, f"{where}.credential")
        self._tls = tls_context(rule.tls, self.address, where)
        self._server_name = (rule.tls.server_name or self.address.host) if self._tls else None
        self._headers = dict(rule.headers)
        self._deadline_s, self._retries = rule.deadline_ms / 1e3, rule.retries
        self._concurrency, self._queue = rule.concurrency, rule.queue
        self._max_bytes = rule.max_bytes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free: asyncio.Semaphore
        self._idle: list[Connection] = []
        self._waiting = 0

    async def ask(self, path: str, body: Any, *, method: str = "POST") -> Any:
        """Send ``body`` as JSON, and give the answer's JSON."""
        answer = await self.post(path, body, method=method)
        try:
            return msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise self.failed(f"answered {len(answer.body)} bytes that are not JSON") from error

    async def post(
        self,
        path: str,
        body: Any,
        *,
        headers: dict[str, str] | None = None,
        enough: Enough | None = None,
        accepted: tuple[int, ...] = (200,),
        method: str = "POST",
    ) -> Answer:
        """Send ``body`` as JSON to ``path`` under the base URL, in time and within bounds.

        ``enough`` ends the reading of a body that does not end by itself (an event stream).
        """
        raw = msgspec.json.encode(clean(body))
        self._bind()
        if self._free.locked() and self._waiting >= self._queue:
            raise AskFailed(f"{self.kind} {self.name!r} is busy: {self._queue} asks wait already")
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._deadline_s
        try:
            async with asyncio.timeout_at(ends):
                self._waiting += 1
                try:
                    await self._free.acquire()
                finally:
                    self._waiting -= 1
                try:
                    target = f"{method} {self.address.base_path + path or '/'}"
                    return await self._tries(target, raw, headers or {}, enough, accepted, ends)
                finally:
                    self._free.release()
        except TimeoutError as error:
            raise TimeoutError(
                f"{self.kind} {self.name!r} did not answer in {self._deadline_s * 1e3:.0f} ms"
            ) from error

    def close(self) -> None:
        """Close the connections that are kept; those in use close when they are done."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.drop()

    def failed(self, what: str) -> AskFailed:
        """The error of an ask to this server."""
        return AskFailed(f"{self.kind} {self.name!r}: {self.address.authority} {what}")

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._idle = []  # of a loop that has ended
            self._loop, self._free = loop, asyncio.Semaphore(self._concurrency)

    async def _tries(
        self,
        target: str,
        raw: bytes,
        headers: dict[str, str],
        enough: Enough | None,
        accepted: tuple[int, ...],
        ends: float,
    ) -> Answer:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        left = self._retries
        while True:
            wait = pause
            try:
                answer = await self._once(target, raw, headers, enough)
                if answer.status in accepted:
                    return answer
                problem = self.failed(f"answered {answer.status}{_meaning(answer.status)}")
                wait = max(pause, _retry_after(answer.headers.get("retry-after", "")))
                if answer.status not in RETRIED:
                    raise problem
            except OSError as error:
                problem = self.failed(_reason(error))
                problem.__cause__ = error
            if left == 0 or loop.time() + wait >= ends:
                raise problem
            left -= 1
            await asyncio.sleep(wait)
            pause *= 2

    async def _once(
        self, target: str, raw: bytes, headers: dict[str, str], enough: Enough | None
    ) -> Answer:
        """One request; on a kept connection that the server has closed meanwhile, one more."""
        head = self._head(target, len(raw), headers)
        while self._idle:
            connection = self._idle.pop()
            if connection.stale:
                connection.drop()
                continue
            try:
                return await self._exchange(connection, head + raw, enough)
            except ClosedBeforeAnswer:
                break  # it was closed while idle: nothing was done there
        connection = await Connection.open(self.address, self._tls, self._server_name)
        return await self._exchange(connection, head + raw, enough)

    async def _exchange(
        self, connection: Connection, request: bytes, enough: Enough | None
    ) -> Answer:
        try:
            answer = await connection.exchange(request, self._max_bytes, enough)
        except TooLarge as error:
            raise self.failed(f"answered more than {self._max_bytes} bytes") from error
        except httptools.HttpParserError as error:
            raise self.failed("did not answer with HTTP") from error
        finally:
            if connection.reusable and len(self._idle) < self._concurrency:
                self._idle.append(connection)
            else:
                connection.drop()
        return answer

    def _head(self, target: str, length: int, extra: dict[str, str]) -> bytes:
        fields = {
            "host": self.address.authority,
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": "wayside",
            "content-length": str(length),
            **{name.lower(): value for name, value in {**self._headers, **extra}.items()},
        }
        if parent := SENT.get():
            fields[TRACEPARENT] = parent
        if self._credential is not None:
            name, value = self._credential.pair()
            fields[name.lower()] = value
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def clean(value: Any) -> Any:
    """The same value with half surrogates, which JSON in UTF-8 cannot say, as U+FFFD."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def tls_context(rule: TlsSettings, address: Address, where: str) -> ssl.SSLContext | None:
    """How the server is verified; nothing for plain http. Raises :class:`ConfigError`."""
    if address.scheme != "https":
        return None
    try:
        return ssl.create_default_context(cafile=rule.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError.one(
            f"cannot read {rule.ca_file}: {error.strerror or error}",
            where=f"{where}.tls.ca_file",
            fix="give a file of PEM certificates",
        ) from error


def _retry_after(text: str) -> float:
    """Seconds of a ``Retry-After`` header (RFC 9110, 10.2.3); dates are not waited for."""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _meaning(status: int) -> str:
    if status in (401, 403):
        return ": it does not accept our key; look at `credential`"
    if status == 404:
        return ": nothing is at this path; look at `base_url` and `model`"
    if 300 <= status < 400:
        return ": it redirects, which is not followed; write the final `base_url`"
    return ""


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"does not speak TLS as expected: {error.reason}"
    return f"cannot be asked: {error.strerror or error or type(error).__name__}"
