"""Which headers belong to us, so that a client can neither forge nor see them upstream."""

from __future__ import annotations

import re

SELECTED_MODEL = "x-selected-model"
DESTINATION = "x-gateway-destination-endpoint"
"""Which of its servers a request goes to: ``ip:port``, as Envoy's load balancer reads it."""
DEBUG = "x-vsr-debug"

EXECUTED = "x-maas-model-executed"
"""Which model answered, for those who are charged by model."""
REQUESTED = "x-maas-model-requested"
"""What the client asked for."""
GATEWAY_MODEL = "x-gateway-model-name"
"""The chosen model, on the request, for policies of a gateway that come after the choice."""

INTERNAL_PREFIXES = ("x-vsr-", "x-wayside-", "x-maas-", DESTINATION)
"""The last: also ``-subset``, ``-served`` and ``-scores``, which endpoint pickers go by."""
INTERNAL_NAMES = frozenset(
    {
        SELECTED_MODEL,
        DESTINATION,
        # Where a sidecar of llm-d's fetches from: in a client's hand, any address of ours.
        "x-prefiller-host-port",
        "x-prefiller-url",
        "x-encoder-hosts-ports",
        "x-data-parallel-host-port",
    }
)

PROVIDER_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-")
"""What headers of answers begin with that tell of our own account with a provider. They are not
for callers who have limits of ours, which are told under the same names."""

ENVOYS = "x-envoy-"
"""How headers begin that tell an Envoy what to do: how often to try again, where to go. A client
talks to no Envoy in front of a model's servers."""

COMPRESSION_CONTROL = "x-vsr-compression-control"

CACHE_CONTROL = "x-vsr-cache-control"

NO_MEMORY = "x-disable-router-memory"
"""``true``: this request neither reads nor makes memories."""

USER_KEYS = frozenset({
    f"x-user-{provider}-key"
    for provider in ("openai", "anthropic", "azure-openai", "bedrock", "gemini", "vertex-ai",
                     "minimax", "openrouter", "groq", "mistral", "deepseek", "together",
                     "fireworks", "xai", "cohere", "cerebras")
})  # fmt: skip
"""A user's own key for a provider: read here, and sent to that provider alone."""

CLAIMS = frozenset({"x-maas-username", "x-maas-group", "x-maas-subscription"})
"""Who somebody says they are. A gateway in front may be believed (``identity``); a gate of our own
refuses requests that bring any."""

CONTROLS = frozenset({DEBUG, COMPRESSION_CONTROL, CACHE_CONTROL}) | USER_KEYS | CLAIMS
"""Internal names that a client may send to us. They are read, and never passed on."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 section 7.6.1: these end at each hop."""

OURS = HOP_BY_HOP | {"host", "content-length"}
"""Set by the router itself, so never by configuration."""

CREDENTIALS = ("authorization", "x-api-key", "api-key")
"""How a client proves itself to us: never passed on to a model's servers unless asked for."""


def user_key_header(provider: str) -> str:
    """In which header a user's own key for ``provider`` comes."""
    return f"x-user-{provider}-key"


def is_internal(name: str) -> bool:
    """Whether the lower-case header ``name`` is ours alone: stripped at the door, both ways.

    ``x-user-<provider>-key`` carries a user's own key for one provider, so it goes no further.
    """
    return (
        name in INTERNAL_NAMES
        or name.startswith(INTERNAL_PREFIXES)
        or (name.startswith("x-user-") and name.endswith("-key"))
    )


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def header_name(text: str) -> str:
    """``text`` in lower case if it is a header that configuration may set, or ``ValueError``."""
    low = text.lower()
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not a header name")
    if low in OURS or (is_internal(low) and low not in CLAIMS):
        raise ValueError(f"header {text!r} is the router's own; it cannot be changed here")
    return low


def sendable(name: str, value: str) -> bool:
    """Whether this is a header as the protocol allows them: a token, and one line."""
    return bool(_TOKEN.fullmatch(name)) and not _CONTROL.search(value)


def header_value(text: str) -> str:
    """``text`` if it is one line of printable ASCII, or ``ValueError``."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("a header value is printable ASCII on one line")
    return text
