"""How a request enters the router, and how it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

from wayside.vocab.access import Caller, Hold
from wayside.vocab.ask import Flow
from wayside.vocab.errors import RequestError
from wayside.vocab.usage import Tokens
from wayside.vocab.verdict import SignalRef, Verdict

HeaderPairs = tuple[tuple[str, str], ...]


class Request(msgspec.Struct, frozen=True):
    """One request, as a shell read it off the wire.

    ``path`` includes the query. ``headers`` have lower-case names and hold no internal header
    but the controls (:mod:`wayside.vocab.headers`); repeated ones are joined with ``", "``.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    metered: bool = True
    """Whether the shell sees the answer, and so may ask for its usage and take that out again."""
    caller: Caller | None = None
    """Who asks, where a gate has let them in; ``None`` where there is no gate."""


ServerProtocol = Literal["openai", "anthropic", "responses"]
"""The APIs that models' servers speak."""


Usage = Literal["end", "each", "asked"]
"""When a server is asked for the usage of a stream: for its end, for each event, or only where
the client asks for it."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A configured model, as the shells need it.

    ``name`` is how the router calls it, ``upstream_name`` how its servers do.
    ``base_path`` replaces the leading ``/v1`` of the request path (``/v1`` for most).
    ``credential`` is the key its provider wants; the client's own ``Authorization`` is dropped
    unless ``keeps_authorization``. ``protocol`` is the API that its servers speak, and ``query``
    goes behind every path there (``?api-version=...``, or empty). ``strict`` servers refuse fields
    that OpenAI's API does not have. ``user_key`` says how a client's own key for the provider
    comes and goes, where it may. ``usage`` is what its servers are asked to say of streams.
    """

    name: str
    upstream_name: str
    base_path: str = "/v1"
    credential: Credential | None = None
    keeps_authorization: bool = False
    protocol: ServerProtocol = "openai"
    query: str = ""
    strict: bool = False
    user_key: UserKey | None = None
    usage: Usage = "end"


class UserKey(NamedTuple):
    """A user's own key for a provider: the header it comes in, and how the provider wants it."""

    source: str
    header: str
    prefix: str


class Credential:
    """A provider's key. The runtime refreshes ``value``; nothing prints it."""

    __slots__ = ("header", "prefix", "value")

    def __init__(self, header: str, prefix: str, value: str) -> None:
        self.header, self.prefix, self.value = header, prefix, value

    def pair(self) -> tuple[str, str]:
        """The header to send. Raises :class:`RequestError` as long as there is no key."""
        if not self.value:
            raise RequestError(
                "The key of this model's provider is not there yet.",
                status=503,
                kind="server_error",
                code="provider_key_missing",
            )
        return self.header, self.prefix + self.value

    def __repr__(self) -> str:
        return f"Credential({self.header}: ***)"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model from inside a client's: ``status`` 0 where no answer came, and
    ``reason`` why, for the operator. ``purpose`` is what the algorithm wanted of it. Cached tokens
    and those written to a provider's cache are parts of ``prompt_tokens``."""

    model: str
    purpose: str = ""
    status: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    seconds: float = 0.0
    reason: str = ""
    estimated: str = ""
    """Why its tokens are not its server's own count."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided, for the one log line, the metrics and the response headers.

    ``path`` is vSR's response path (upstream, error, ...). ``matched`` is filled for people who
    ask (debug headers, explain), and always holds what the decisions read.
    """

    requested: str = ""
    model: str = ""
    recipe: str = ""
    decision: str = ""
    confidence: float = 0.0
    algorithm: str = ""
    reasoning: bool | None = None
    category: str = ""
    system_prompt: bool | None = None
    """Whether the decision gave the model a system prompt; ``None`` where nothing was decided."""
    tokens: int = 0
    stream: bool = False
    path: str = "upstream"
    reason: str = ""
    why: str = ""
    """What the selection algorithm says of its choice."""
    candidate: str = ""
    """What was to answer: the model, or its adapter."""
    cache: str = ""
    """Why a cache did not answer: it had nothing (``miss``), or was not asked (``off``)."""
    session: str = ""
    """What became of the conversation: new, stay, tool_loop, switch, left; empty without one."""
    owner: str = ""
    """A digest of who asked, where outcomes of the request may be told."""
    billed: bool = True
    """Whether its answer takes tokens; counting the tokens of a prompt takes none."""
    saved: Tokens | None = None
    """What the answer took when it was made, where it came from the cache instead."""
    saved_model: str = ""
    """The model that was spared."""
    calls: tuple[Call, ...] = ()
    """Requests to models that the algorithm made itself."""
    fallback_from: str = ""
    """The model that was to answer, where another one did in its place."""
    fallback_reason: str = ""
    """Why it did not: failure, overload or context_length."""
    verdicts: Mapping[SignalRef, Verdict] = {}
    caller: Caller | None = None
    hold: Hold | None = None
    """What of the caller's allowance is held until the request is over."""


Trim = Literal["", "end", "each", "all"]
"""Usage of a stream that only we asked for, which the client does not get: the event at the end,
the counts of each event before that, or both."""

Taken = Literal["pass", "whole", "stream"]
"""How an answer's body is taken: not at all, all of it before anything goes on, or as it comes."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a watched answer.

    ``body`` is all of an answer that was taken whole, else what was still held. ``status``, where
    set, takes the place of the answer's own, and ``report`` that of headers already reported.
    ``reason`` says why the answer was stopped, or is empty.
    """

    body: bytes
    status: int | None = None
    report: HeaderPairs = ()
    reason: str = ""


class Tap(Protocol):
    """Stands between the model's answer and the client; made for one request."""

    @property
    def warnings(self) -> dict[str, None]: ...
    @property
    def reason(self) -> str:
        """Why the answer was stopped, or ``""``. Once it is set, nothing more will go on."""
        ...

    @property
    def detail(self) -> str:
        """More about that for the operator's log; never for the client."""
        ...

    @property
    def content_type(self) -> str:
        """Known from :meth:`begin` on: takes the place of the answer's own, unless empty."""
        ...

    def begin(self, status: int, content_type: str) -> Taken: ...
    def feed(self, chunk: bytes) -> Flow[bytes]: ...
    def finish(self) -> Flow[Ended]: ...
    def settle(self) -> Flow[None] | None:
        """The request is over, however it went; called once, when the client has its answer."""
        ...


class Tried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt at an answer, when it was over.

    ``outcome`` is ``ok``, ``status_503`` and the like for an error that the server answered with,
    ``hedge_lost`` or ``cancelled`` for one that was stopped, else why it failed
    (``connect_failed``). ``kind`` says what it was for: the ``first`` of a model, a ``retry``, a
    ``hedge``, or ``prefill``: a server that read the prompt for the next one.
    """

    endpoint: str
    model: str
    outcome: str
    kind: Literal["first", "retry", "hedge", "prefill"] = "first"
    status: int = 0
    seconds: float = 0.0
    sent: int = 0
    """Bytes of the request's body."""
    span: str = ""
    """The id of its span, where the request is traced."""


class Fallback(Protocol):
    """The models that may answer in another's place, in order. ``minds_length``: also where a
    prompt is too long for it."""

    minds_length: bool

    def __call__(self, reason: str) -> Forward | None:
        """The same request for the next of them, or ``None``; ``reason`` is failure, overload or
        context_length."""
        ...


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """Send it on. ``body`` is the client's own bytes object unless ``changed``.

    ``remove_headers`` leave the request that goes upstream, then ``set_headers`` are set on it,
    credentials and ``x-selected-model`` included; names are lower-case. ``report`` are the headers
    added to the client's response. ``tap``, where there is one, takes the answer on its way back.
    """

    target: Target
    path: str
    body: bytes
    changed: bool
    set_headers: HeaderPairs
    remove_headers: tuple[str, ...] = ()
    report: HeaderPairs = ()
    record: Record
    tap: Tap | None = None
    trim: Trim = ""
    """What of a stream the shell takes out, after the tap."""
    fallback: Fallback | None = None
    """Who may answer instead, as long as nothing of an answer went to the client."""
    urgency: int = 0
    """Whether it goes before others where requests have to wait: greater is more urgent."""
    pin: str = ""
    """The one server (``host:port``) that may take it, whatever its state; else any."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Answer it here. ``after`` is what is to be done when it is given; the runtime sees to it."""

    status: int
    body: bytes
    content_type: str = "application/json"
    report: HeaderPairs = ()
    record: Record
    after: Flow[None] | None = None


Outcome = Forward | Reply
