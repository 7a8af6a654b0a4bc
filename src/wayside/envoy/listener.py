"""Where clients connect: what is dropped at the door, who is asked, and what errors look like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from wayside.envoy.clusters import EXTPROC
from wayside.envoy.routes import ERROR_HEADERS, EXT_PROC
from wayside.envoy.words import Node, headers, seconds, tcp, typed
from wayside.settings import RouterSettings
from wayside.settings.disaggregation import longest_s
from wayside.vocab.headers import CONTROLS, INTERNAL_NAMES, INTERNAL_PREFIXES

BodyMode = Literal["BUFFERED", "FULL_DUPLEX_STREAMED"]
DEFAULT_BODY_MODE: Final[BodyMode] = "BUFFERED"
RUNTIME: Final = {"re2.max_program_size.error_level": 4096}
"""Envoy would refuse the pattern of internal headers that no control matches (default: 100)."""
_PARAMS: Final = 1 << 20
"""What ``kv_transfer_params`` may add to a body."""


def listener(
    settings: RouterSettings,
    routes: Node,
    body_mode: BodyMode = DEFAULT_BODY_MODE,
    *,
    name: str = "wayside",
    address: str | None = None,
    port: int | None = None,
    socket: Node | None = None,
) -> Node:
    """A listener, where the settings say unless told otherwise. ``routes`` is how the connection
    manager comes by its routes: ``route_config`` or ``rds``; ``socket`` its transport socket where
    that is TLS."""
    limits = settings.limits
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="wayside",
        use_remote_address=True,
        # The client's request id is kept, and one is made when there is none.
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        normalize_path=True,
        server_header_transformation="PASS_THROUGH",
        max_request_headers_kb=min(8192, max(1, math.ceil(limits.max_header_bytes / 1024))),
        request_headers_timeout=seconds(limits.header_timeout_s),
        request_timeout=seconds(limits.header_timeout_s + limits.body_timeout_s),
        common_http_protocol_options={"idle_timeout": seconds(limits.idle_timeout_s)},
        http2_protocol_options={
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 4 << 20,
        },
        early_header_mutation_extensions=[_at_the_door()],
        local_reply_config=_local_replies(),
        **routes,
        http_filters=[
            ext_proc_filter(settings, EXTPROC, body_mode=body_mode),
            typed(
                "envoy.filters.http.router",
                "extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
            ),
        ],
    )
    where = settings.listen
    return {
        "name": name,
        "address": tcp(address or where.address, where.port if port is None else port),
        "per_connection_buffer_limit_bytes": _buffer_limit(settings, body_mode),
        "filter_chains": [
            {"filters": [manager], **({} if socket is None else {"transport_socket": socket})}
        ],
    }


def _buffer_limit(settings: RouterSettings, body_mode: BodyMode) -> int:
    # BUFFERED bodies wait in Envoy and may be as large as allowed; streamed ones never do, and
    # a slow reader of a response should not cost more than this.
    if body_mode != "BUFFERED":
        return 1 << 20
    # Where a prompt's cache is, is told in the body; what is too large as it came, we refuse.
    handed = longest_s(settings.models.values()) > 0
    return settings.limits.max_body_bytes + (_PARAMS if handed else 0)


def ext_proc_filter(
    settings: RouterSettings, cluster: str, *, body_mode: BodyMode = DEFAULT_BODY_MODE
) -> Node:
    """The ext_proc HTTP filter alone, for an Envoy that somebody else configures."""
    mode = {
        "request_header_mode": "SEND",
        "response_header_mode": "SEND",
        "request_body_mode": body_mode,
        "response_body_mode": "NONE",
        # FULL_DUPLEX_STREAMED has to hear of trailers, as they may end the body.
        "request_trailer_mode": "SEND" if body_mode == "FULL_DUPLEX_STREAMED" else "SKIP",
        "response_trailer_mode": "SKIP",
    }
    # Which server an answer came from, where we said to whom to go: Envoy may have gone elsewhere.
    asked = {"response_attributes": ["upstream.address"]} if _picks(settings) else {}
    return typed(
        EXT_PROC,
        "extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": cluster}, "timeout": "0s"},
        failure_mode_allow=settings.envoy.failure_mode == "open",
        status_on_error={"code": "ServiceUnavailable"},
        message_timeout=seconds(
            settings.extproc.message_timeout_s + longest_s(settings.models.values())
        ),
        processing_mode=mode,
        # Anything but host, :authority, :scheme, :method and x-envoy-*: those are Envoy's.
        allow_mode_override=True,  # an answer's body is asked for only where filters watch it
        mutation_rules={"allow_all_routing": False, "allow_envoy": False},
        **asked,
    )


def _picks(settings: RouterSettings) -> bool:
    models = settings.models.values()
    return bool(settings.picking) or any([m.picking or m.disaggregation for m in models])


def _at_the_door() -> Node:
    """Drops internal headers before any filter or route sees them; controls stay for us."""
    removed: list[Node] = [{"remove": name} for name in sorted(INTERNAL_NAMES - CONTROLS)]
    for prefix in INTERNAL_PREFIXES:
        kept = [name.removeprefix(prefix) for name in sorted(CONTROLS) if name.startswith(prefix)]
        # A prefix is cheaper than a pattern, and this looks at every header of every request.
        pattern = {"regex": prefix + anything_but(kept)}
        matcher: Node = {"safe_regex": pattern} if kept else {"prefix": prefix}
        removed.append({"remove_on_match": {"key_matcher": matcher}})
    return typed(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=removed,
    )


def anything_but(words: Sequence[str]) -> str:
    """A pattern without look-ahead (RE2 has none) for every string but ``words``."""
    if not words:
        return ".*"
    if "" in words:
        rest = [word for word in words if word]
        return f"(?:{_anything_but_first(rest)})"
    return f"(?:|{_anything_but_first(words)})"


def _anything_but_first(words: Sequence[str]) -> str:
    firsts = sorted({word[0] for word in words})
    if not firsts:
        return ".+"
    others = "[^" + "".join(f"\\{letter}" if letter in "^-]\\" else letter for letter in firsts)
    parts = [others + "].*"]
    for letter in firsts:
        rests = [word[1:] for word in words if word[0] == letter]
        parts.append(letter + anything_but(rests))
    return "|".join(parts)


def _local_replies() -> Node:
    """Envoy's own errors in the client's shape; the router's replies stay as they are."""
    ours = 'response.code_details.startsWith("wayside_")'
    theirs = f'!({ours}) && response.code_details != "direct_response"'
    message, code = "%LOCAL_REPLY_BODY%", "%RESPONSE_CODE_DETAILS%"
    openai = {"message": message, "type": "server_error", "param": None, "code": code}
    messages = {
        "type": "error",
        "error": {"type": "api_error", "message": f"{message} ({code})"},
        "request_id": "%REQ(X-REQUEST-ID)%",
    }
    return {
        "mappers": [
            _mapper(f'{theirs} && request.path.startsWith("/v1/messages")', messages),
            _mapper(theirs, {"error": openai}),
        ]
    }


def _mapper(when: str, body: Node) -> Node:
    told = typed(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=when,
    )
    return {
        "filter": {"extension_filter": told},
        "headers_to_add": headers(ERROR_HEADERS),
        "body_format_override": {"json_format": body},
    }
