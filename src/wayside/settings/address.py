"""Where a model server is: IPv4, IPv6, a DNS name, ``host:port``, or a base URL."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER_LAST = re.compile(r"(?:.*\.)?[0-9]+\.?")  # an IPv4 address gone wrong, as browsers see it
_PORT = re.compile(r"[0-9]{1,5}")
_ZONE = re.compile(r"[0-9A-Za-z_.-]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed endpoint. ``host`` has no brackets; ``base_path`` has no trailing slash."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @property
    def is_ip(self) -> bool:
        return _ip(self.host) is not None

    @property
    def netloc(self) -> str:
        """``host:port`` as URLs and Envoy want it: IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """The ``Host`` header: :attr:`netloc` without a default port."""
        default = 443 if self.scheme == "https" else 80
        return self.netloc.rpartition(":")[0] if self.port == default else self.netloc

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.base_path}"


def parse_address(text: str) -> Address:
    """Read an endpoint. Without a scheme it is ``http``; without a port 80, or 443 for https.

    Raises ``ValueError`` with a message that says what to write instead.
    """
    stripped = text.strip()
    scheme, sep, rest = stripped.partition("://")
    if not sep:
        scheme, rest = "http", stripped
    scheme = scheme.lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"scheme {scheme!r} is not supported; write http:// or https://")
    if "?" in rest or "#" in rest or "@" in rest:
        raise ValueError("an endpoint has no query, fragment or user; write http://host:port")
    netloc, slash, path = rest.partition("/")
    host, port_text = _split_port(netloc)
    if not host:
        raise ValueError("the host is empty; write host:port or http://host:port")
    if _ip(host) is None and not _is_dns_name(host):
        raise ValueError(f"{host!r} is neither an IP address nor a DNS name")
    if not (path.isascii() and path.isprintable()) or " " in path:
        raise ValueError("the path has more than plain characters; write a space as %20")
    if not port_text:
        port = 443 if scheme == "https" else 80
    elif _PORT.fullmatch(port_text) and 1 <= int(port_text) <= 65535:
        port = int(port_text)
    else:
        raise ValueError(f"port {port_text!r} is not a number from 1 to 65535")
    return Address(scheme, host, port, (slash + path).rstrip("/"))


def _split_port(netloc: str) -> tuple[str, str]:
    if netloc.startswith("["):
        host, close, rest = netloc[1:].partition("]")
        if not close or ":" not in host or _ip(host) is None or rest[:1] not in ("", ":"):
            raise ValueError(f"{netloc!r} is not an IPv6 address in brackets; write [::1]:8000")
        if rest == ":":
            raise ValueError("the port is empty; write [::1]:8000")
        return host, rest[1:]
    if _ip(netloc) is not None:  # a bare IPv6 address has colons and no port
        return netloc, ""
    if netloc.count(":") > 1:
        raise ValueError(f"{netloc!r} has several colons; write an IPv6 address as [::1]:8000")
    host, colon, port = netloc.partition(":")
    if colon and not port:
        raise ValueError("the port is empty; write host:8000")
    return host, port


def _is_dns_name(host: str) -> bool:
    return (
        len(host.rstrip(".")) <= 253
        and _HOST.fullmatch(host) is not None
        and _NUMBER_LAST.fullmatch(host) is None
    )


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    zone = text.partition("%")[2]
    if "%" in text and not _ZONE.fullmatch(zone):
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


_V4_PORT = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}:\d+")
_V6_PORT = re.compile(r"\[[0-9A-Fa-f:.]+\]:\d+")


def strict_ip_problem(address: str) -> str | None:
    """What vSR v0.1's ``validator.go`` says against an endpoint ``address``; ``None`` if nothing.

    Only bare IPv4 and IPv6 addresses pass, in the order of checks and with the messages that
    its users know (spec 2.1).
    """
    text = address.strip()
    if not text:
        return "address cannot be empty"
    if text.startswith(("http://", "https://")):
        return f"protocol prefixes (http://, https://) are not supported, got: {address}"
    if "/" in text:
        return f"paths are not supported, got: {address}"
    if _V4_PORT.fullmatch(text) or _V6_PORT.fullmatch(text):
        return (
            f"port numbers in address are not supported, use 'port' field instead, got: {address}"
        )
    if _ip(text) is None or "%" in text:
        return f"invalid IP address format, got: {address}"
    return None
