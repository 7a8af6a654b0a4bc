"""Which API the client speaks, which the model's servers do, and what stands between the two.

Where both are the same and nothing was changed on the way, the client's bytes go on as they came,
but for the model's name. Otherwise OpenAI's chat completions stand in the middle: every client's
request can be read as a chat and every server's answer told as one, so that guards, the cache and
selection know one shape only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from wayside.dialects import (
    Body,
    Edit,
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from wayside.dialects.anthropic_messages import MessagesBody, MessagesServer, check_key
from wayside.dialects.openai_responses import ResponsesBody
from wayside.dialects.openai_responses_server import ResponsesServer, native
from wayside.dialects.stage import Loss, ServerStage, Stage, warnings_header
from wayside.dialects.trim import ask, asked
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import HeaderPairs, Request, ServerProtocol, Target, Trim

BODIES: Mapping[str, type[Body]] = {
    openai_chat.PATH: openai_chat.ChatBody,
    openai_completions.PATH: openai_completions.CompletionBody,
    openai_embeddings.PATH: openai_embeddings.EmbeddingBody,
    openai_responses.PATH: openai_responses.ResponsesBody,
    anthropic_messages.PATH: MessagesBody,
}
"""What is asked of models, by path. Errors on paths below one are told in its API, too."""


class Server(Protocol):
    """An API of models' servers beside OpenAI's."""

    path: str
    headers: HeaderPairs
    """Sent unless the client or the operator says otherwise."""
    plain: bool
    """Whether it wants chats as OpenAI's servers take them, without marks of other APIs."""

    def request(self, chat: Edit) -> tuple[bytes, tuple[Loss, ...]]:
        """A chat as its servers take it. Raises :class:`RequestError` for what they cannot do."""
        ...

    def stage(self, *, usage: bool, native: bool = False) -> ServerStage:
        """Tells its servers' answers as a chat's. ``usage``: also at the end of a stream;
        ``native``: the client speaks this API, so what a chat has no place for is kept."""
        ...


SERVERS: Mapping[ServerProtocol, Server] = {
    "anthropic": MessagesServer(),
    "responses": ResponsesServer(),
}


def parsed(parse: type[Body], request: Request) -> Body:
    """The body of a request, with what its API says of its headers."""
    body = parse(request.body)
    if isinstance(body, MessagesBody):
        check_key(request.headers)
        body.request_id = request.headers.get("x-request-id", "")
    return body


OF_TRANSLATION = frozenset({
    "x-vsr-client-protocol", "x-vsr-upstream-protocol", "x-vsr-protocol-warnings", "request-id",
})  # fmt: skip
"""The headers of an answer that was translated."""


class Departure(NamedTuple):
    """A request as it leaves, and what its answer has to go through."""

    body: bytes
    path: str
    translated: bool = False
    """Whether anything below is set."""
    upstream: ServerStage | None = None
    client: Stage | None = None
    headers: HeaderPairs = ()
    removed: tuple[str, ...] = ()
    report: HeaderPairs = ()
    trim: Trim = ""
    """Usage that the server was asked for, and the client did not ask for."""


def depart(
    body: Body, request: Request, target: Target, model: str, edit: Edit | None, *, watched: bool
) -> Departure:
    """``edit`` is the body as plugins changed it, if they did; ``watched`` says that somebody
    reads the answer on its way."""
    same = body.protocol == target.protocol
    # What is kept of a response is kept as the client reads it.
    watched = watched or (isinstance(body, ResponsesBody) and body.keep)
    if same and edit is None and isinstance(body, ResponsesBody):
        return _to_its_like(body, request, target, model, watched=watched)
    if same and edit is None:
        raw = request.body if model == body.model else body.renamed(model)
        path = upstream_path(target, request.path)
        if body.protocol == "openai":
            if body.stream and request.metered:
                raw, trim = asked(raw, target.usage)
                return Departure(raw, path, trim=trim)
            return Departure(raw, path)
        upstream, client = _stages(body, target, None) if watched else (None, None)
        return Departure(raw, path, True, upstream, client, _headers(request, target, watched))
    edit = edit or body.edit()
    edit.set("model", model)
    if target.strict and not same:
        only_openai(edit)
    losses: tuple[Loss, ...]
    if target.protocol == "openai":
        trim = ""
        if body.stream:
            trim = _ask_for_usage(edit, target, same=same, metered=request.metered)
        raw, losses = body.plain(edit)
        if same:
            return Departure(raw, upstream_path(target, request.path), trim=trim)
        path = openai_chat.PATH
    else:
        if not body.translates:
            raise RequestError(
                f"The servers of model {target.name!r} speak the API of {target.protocol}, which "
                f"has nothing like {request.path.partition('?')[0]}.",
                param="model",
                code="unsupported_endpoint",
            )
        server = SERVERS[target.protocol]
        kept: tuple[Loss, ...] = ()
        asked_of: Edit = edit
        if server.plain or body.protocol == "responses":
            raw, kept = body.plain(edit)
            asked_of = Edit(raw)
        raw, losses = server.request(asked_of)
        losses = (*kept, *losses)
        path = request.path if same else server.path
    upstream, client = _stages(body, target, edit) if watched or not same else (None, None)
    return Departure(
        body=raw,
        path=upstream_path(target, path),
        translated=True,
        upstream=upstream,
        client=client,
        headers=_headers(request, target, client is not None or upstream is not None),
        removed=() if target.protocol == "anthropic" else ("anthropic-version", "anthropic-beta"),
        report=() if same else _report(body, target, losses, request),
    )


_OF_ANSWERS = frozenset({"not_encrypted", "not_obfuscated", "not_summarised"})
"""Losses of an answer; what a request of the Responses API says, a server of it is told."""


def _to_its_like(
    body: ResponsesBody, request: Request, target: Target, model: str, *, watched: bool
) -> Departure:
    """A request of the Responses API to a server of it, in its own words."""
    raw, losses = native(body, model)
    if watched:
        losses = (*losses, *[loss for loss in body.losses if loss.reason in _OF_ANSWERS])
    upstream, client = _stages(body, target, None) if watched else (None, None)
    return Departure(
        body=request.body if raw is None else raw,
        path=upstream_path(target, request.path),
        translated=True,
        upstream=upstream,
        client=client,
        headers=_headers(request, target, watched),
        report=(("x-vsr-protocol-warnings", warnings_header(losses)),) if losses else (),
    )


def _ask_for_usage(edit: Edit, target: Target, *, same: bool, metered: bool) -> Trim:
    """In a chat that streams. Clients of another API get their counts from the stage that tells
    them the answer, which takes those of each event, too."""
    if same:
        return ask(edit, target.usage) if metered else ""
    if target.usage == "asked":
        edit.drop("stream_options")
    elif target.usage == "each":
        edit.set_inside("stream_options", "continuous_usage_stats", True)
    return ""


def only_openai(edit: Edit) -> None:
    """Say it as OpenAI's own servers take it, which refuse what is not in their API."""
    limit = edit.fields.pop("max_tokens", None)
    if limit is not None:
        edit.fields.setdefault("max_completion_tokens", limit)
    edit.drop("top_k")


def _stages(
    body: Body, target: Target, edit: Edit | None
) -> tuple[ServerStage | None, Stage | None]:
    client = body.client_stage()
    if target.protocol == "openai":
        return None, client
    usage = client is not None or (edit is not None and edit.wants_usage)
    native = body.protocol == target.protocol
    return SERVERS[target.protocol].stage(usage=usage, native=native), client


def _headers(request: Request, target: Target, staged: bool) -> HeaderPairs:
    server = SERVERS.get(target.protocol)
    ours = () if server is None else server.headers
    given = tuple([pair for pair in ours if pair[0] not in request.headers])
    # What is compressed cannot be translated.
    return (*given, ("accept-encoding", "identity")) if staged else given


def _report(body: Body, target: Target, losses: tuple[Loss, ...], request: Request) -> HeaderPairs:
    told: HeaderPairs = (
        ("x-vsr-client-protocol", body.protocol),
        ("x-vsr-upstream-protocol", target.protocol),
        *request_id(body.protocol, request),
    )
    if losses:
        told = (*told, ("x-vsr-protocol-warnings", warnings_header(losses)))
    return told


def request_id(protocol: str, request: Request) -> HeaderPairs:
    """Anthropic's clients look for the request's id in a header of another name."""
    given = request.headers.get("x-request-id", "") if protocol == "anthropic" else ""
    return (("request-id", given),) if given else ()


def upstream_path(target: Target, path: str) -> str:
    """The request path under the target's base path, with the query that its server wants."""
    if target.base_path != "/v1":
        path = target.base_path + path.removeprefix("/v1")
    if target.query:
        return f"{path}{'&' if '?' in path else '?'}{target.query}"
    return path


def speaker(path: str, headers: Mapping[str, str] | None = None) -> type[Body]:
    """Whose words a client of ``path`` understands; OpenAI's where nothing says otherwise."""
    path = path.partition("?")[0]
    found = BODIES.get(path)
    if found is None and not path.startswith("/v1/"):  # /<model>/v1/...
        path = path[max(0, path.find("/v1/")) :]
        found = BODIES.get(path)
    while found is None and path.count("/") > 2:
        path = path.rpartition("/")[0]
        found = BODIES.get(path)
    if found is None and headers and "anthropic-version" in headers:
        found = MessagesBody
    return found or openai_chat.ChatBody


def told(error: RequestError, request: Request | None) -> tuple[bytes, HeaderPairs]:
    """An error as the client that asked can read it, and further headers of it."""
    if request is None:
        return openai_chat.ChatBody.error(error, ""), ()
    body = speaker(request.path, request.headers)
    given = request_id(body.protocol, request)
    return body.error(error, request.headers.get("x-request-id", "")), given


def shell_error(
    path: str, headers: Mapping[str, str], status: int, message: str, code: str | None
) -> tuple[bytes, HeaderPairs]:
    """An error of a shell's own, before or after the core saw the request."""
    return told(_error(status, message, code), Request("", path, headers))


def shell_broken(
    path: str, headers: Mapping[str, str], status: int, message: str, code: str | None
) -> bytes:
    """The event that ends a stream which broke off."""
    error = _error(status, message, code)
    return speaker(path, headers).broken(error, headers.get("x-request-id", ""))


def _error(status: int, message: str, code: str | None) -> RequestError:
    kind = "invalid_request_error" if status < 500 else "server_error"
    if status == 429:
        kind = "rate_limit_error"
    return RequestError(message, status=status, kind=kind, code=code)
