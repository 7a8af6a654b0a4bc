"""Which headers belong to us, so that a client can neither forge nor see them upstream."""

from __future__ import annotations

SELECTED_MODEL = "x-selected-model"
DEBUG = "x-vsr-debug"

INTERNAL_PREFIXES = ("x-vsr-", "x-wayside-")
INTERNAL_NAMES = frozenset({SELECTED_MODEL, "x-gateway-destination-endpoint"})

CONTROLS = frozenset({DEBUG})
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


CREDENTIALS = ("authorization", "x-api-key", "api-key")
"""How a client proves itself to us: never passed on to a model's servers unless asked for."""


def is_internal(name: str) -> bool:
    """Whether the lower-case header ``name`` is ours alone: stripped at the door, both ways.

    ``x-user-<provider>-key`` carries a user's own key for one provider, so it goes no further.
    """
    return (
        name in INTERNAL_NAMES
        or name.startswith(INTERNAL_PREFIXES)
        or (name.startswith("x-user-") and name.endswith("-key"))
    )
