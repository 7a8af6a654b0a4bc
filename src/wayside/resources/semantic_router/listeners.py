"""Which listeners of a Gateway would take an HTTPRoute, and why the others would not.

The Gateway's own controller has the last word, in the route's status. This is for when it says
nothing, or only that none matches: it names the listener, and what would have to be written.
Follows Gateway API 1.4, ``Listener.allowedRoutes`` and ``Listener.hostname``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wayside.vocab.objects import section, sections, text, texts

GROUP = "gateway.networking.k8s.io"
_NO_HTTP = ("TLS", "TCP", "UDP")
"""Protocols whose listeners take no HTTPRoute unless they say so."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener's answer. ``takes`` is ``None`` where it depends on what we may not see."""

    name: str
    hostname: str
    takes: bool | None
    why: str = ""
    """For people, where it does not take the route: what it wants, and what to write."""


def listeners(
    gateway: Mapping[str, Any],
    namespace: str,
    labels: Mapping[str, str] | None,
    hostnames: Sequence[str] = (),
    only: str = "",
) -> tuple[Listener, ...]:
    """What each listener of a Gateway makes of an HTTPRoute in ``namespace``, whose labels are
    ``labels`` (``None``: not known), with these ``hostnames``; ``only``: the listener that the
    route names, where it names one."""
    home = text(section(gateway, "metadata").get("namespace"))
    return tuple(
        _listener(found, home, namespace, labels, hostnames)
        for found in sections(section(gateway, "spec").get("listeners"))
        if not only or found.get("name") == only
    )


def _listener(
    found: Mapping[str, Any],
    home: str,
    namespace: str,
    labels: Mapping[str, str] | None,
    hostnames: Sequence[str],
) -> Listener:
    name, hostname = text(found.get("name"), "?"), text(found.get("hostname"))
    for takes, why in (
        _kind(found),
        _host(hostname, hostnames),
        _namespace(section(found, "allowedRoutes", "namespaces"), home, namespace, labels),
    ):
        if takes is not True:
            return Listener(name, hostname, takes, why)
    return Listener(name, hostname, True)


def _kind(found: Mapping[str, Any]) -> tuple[bool, str]:
    kinds = sections(section(found, "allowedRoutes").get("kinds"))
    protocol = text(found.get("protocol"))
    if not kinds:
        return protocol not in _NO_HTTP, f"its protocol is {protocol}, not HTTP or HTTPS"
    takes = any(k.get("kind") == "HTTPRoute" and k.get("group", GROUP) == GROUP for k in kinds)
    return takes, "its allowedRoutes.kinds lacks HTTPRoute"


def _host(hostname: str, hostnames: Sequence[str]) -> tuple[bool, str]:
    takes = not hostname or not hostnames or any(meet(hostname, one) for one in hostnames)
    return takes, f"its hostname {hostname} meets none of {', '.join(hostnames)}"


def meet(one: str, other: str) -> bool:
    """Whether two hostnames, each of which may begin with ``*.``, have a host in common. A
    wildcard stands for one label or more."""
    one, other = one.lower(), other.lower()
    if not one.startswith("*."):
        one, other = other, one
    if not one.startswith("*."):
        return one == other
    if other.startswith("*."):
        return f".{one[2:]}".endswith(other[1:]) or f".{other[2:]}".endswith(one[1:])
    return other.endswith(one[1:]) and len(other) > len(one) - 1


def _namespace(
    allowed: Mapping[str, Any], home: str, namespace: str, labels: Mapping[str, str] | None
) -> tuple[bool | None, str]:
    source = text(allowed.get("from"), "Same")
    if source == "All":
        return True, ""
    if source == "Same":
        return namespace == home, (
            f"it takes routes of namespace {home} only; set its allowedRoutes.namespaces.from to "
            "All or Selector"
        )
    if source != "Selector":
        return False, f"its allowedRoutes.namespaces.from is {source}"
    if labels is None:
        return None, f"it selects namespaces by label, and namespace {namespace} cannot be read"
    selector = section(allowed, "selector")
    return selects(selector, labels), (
        f"its allowedRoutes.namespaces.selector does not select namespace {namespace}; it wants "
        + wanted(selector)
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects an object with these labels. An empty one selects all, an
    operator that is not known none."""
    return texts(selector.get("matchLabels")).items() <= labels.items() and all(
        _holds(found, labels) for found in sections(selector.get("matchExpressions"))
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = text(expression.get("key")), expression.get("operator")
    values = expression.get("values")
    values = values if isinstance(values, list) else []
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def wanted(selector: Mapping[str, Any]) -> str:
    """A label selector, for people."""
    parts = [f"{key}={value}" for key, value in texts(selector.get("matchLabels")).items()]
    for found in sections(selector.get("matchExpressions")):
        values = found.get("values")
        listed = f" ({', '.join(map(str, values))})" if isinstance(values, list) else ""
        parts.append(f"{text(found.get('key'))} {text(found.get('operator'))}{listed}")
    return ", ".join(parts) or "nothing"
