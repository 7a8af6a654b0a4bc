"""The words that every part of Envoy's configuration is put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Node = dict[str, Any]
TYPE: Final = "type.googleapis.com/envoy."


def typed(name: str, kind: str, **config: Any) -> Node:
    """An extension by name, with its settings: ``kind`` is their message, without ``envoy.``."""
    return {"name": name, "typed_config": {"@type": TYPE + kind, **config}}


def tcp(host: str, port: int) -> Node:
    """An address; ``::`` is for IPv4, too."""
    both = {"ipv4_compat": True} if host == "::" else {}
    return {"socket_address": {"address": host, "port_value": port, **both}}


def is_ip(name: str) -> bool:
    """Whether it is an address, and no name."""
    return ":" in name or name.replace(".", "").isdigit()


def headers(pairs: Mapping[str, str], action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> list[Node]:
    """Headers that are added to a message."""
    return [
        {"header": {"key": key, "value": value}, "append_action": action}
        for key, value in pairs.items()
    ]


def protocol(explicit: Node) -> Node:
    """Which HTTP a cluster's servers are spoken to in."""
    kind = "extensions.upstreams.http.v3.HttpProtocolOptions"
    options = {"@type": TYPE + kind, "explicit_http_config": explicit}
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
