"""Whether a deployment answers: requests through its front door, as clients send them."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from wayside.deploy import Check, Object
from wayside.deploy.applying.cluster import Cluster
from wayside.deploy.intent import Intent
from wayside.vocab.errors import ConfigError
from wayside.vocab.objects import section, sections, text, whole
from wayside.vocab.resource import GATEWAYS, INGRESSES, ROUTES

_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one check."""

    title: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """Where clients connect, and, where that is an address, the host that they ask for."""

    url: str
    host: str = ""


async def front_door(cluster: Cluster, intent: Intent) -> Door | None:
    """Where clients of a deployment connect, as the cluster says it; ``None`` where it does
    not."""
    wish, name = intent.exposure, intent.name
    scheme = "http" if wish.tls == "none" else "https"
    if wish.kind == "route" and await cluster.has(ROUTES):
        found = await cluster.get(ROUTES, name, intent.namespace)
        admitted = sections(section(found, "status").get("ingress"))
        host = next((text(one.get("host")) for one in admitted if one.get("host")), "")
        host = host or text(section(found, "spec").get("host"))
        return Door(f"{scheme}://{host}") if host else None
    if wish.kind == "ingress":
        found = await cluster.get(INGRESSES, name, intent.namespace)
        served = sections(section(found, "status", "loadBalancer").get("ingress"))
        return Door(f"{scheme}://{wish.host}") if served else None
    if intent.gateway is not None and await cluster.has(GATEWAYS):
        where = intent.gateway.namespace or intent.namespace
        found = await cluster.get(GATEWAYS, intent.gateway.name, where)
        return _of_gateway(found or {}, intent) if found else None
    return None


def _of_gateway(found: Object, intent: Intent) -> Door | None:
    """By the listener that the intent names, or the first that speaks HTTP, and the Gateway's
    first address. TLS is asked by the host's own name, which its certificate is for."""
    section_name = intent.gateway.section if intent.gateway else ""
    listener: Mapping[str, Any] = next(
        (
            one
            for one in sections(section(found, "spec").get("listeners"))
            if one.get("protocol") in ("HTTP", "HTTPS")
            and section_name in ("", text(one.get("name")))
        ),
        {},
    )
    host = intent.exposure.host or (intent.gateway.host if intent.gateway else "")
    if not host and not (wide := text(listener.get("hostname"))).startswith("*"):
        host = wide
    tls = listener.get("protocol") == "HTTPS"
    usual = 443 if tls else 80
    port = whole(listener.get("port"), 1, 65535) or usual
    tail = "" if port == usual else f":{port}"
    for address in sections(section(found, "status").get("addresses")):
        value = text(address.get("value"))
        if not value:
            continue
        if tls and host:
            return Door(f"https://{host}{tail}")
        value = f"[{value}]" if ":" in value else value
        return Door(f"{'https' if tls else 'http'}://{value}{tail}", "" if tls else host)
    return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token is for the front door alone, wherever that would send us."""

    def redirect_request(self, *_: Any) -> None:
        return None


async def verify(
    checks: Iterable[Check],
    door: Door,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    timeout_s: float = 60.0,
) -> list[Answer]:
    """Ask each, one after the other. Raises :class:`ConfigError` for a URL or certificates of no
    use."""
    if not re.match("https?://[^/]", door.url):
        fix = "write http://HOST or https://HOST"
        raise ConfigError.one(f"{door.url!r} is no address", where="--url", fix=fix)
    try:
        trust = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        fix = "give a file of certificates in PEM"
        raise ConfigError.one(f"{ca_file}: {error}", where="--ca-file", fix=fix) from None
    opener = urllib.request.build_opener(_NoRedirects, urllib.request.HTTPSHandler(context=trust))
    said = {**(headers or {}), **({"host": door.host} if door.host else {})}
    return [await asyncio.to_thread(_ask, opener, c, door, said, timeout_s) for c in checks]


def _ask(
    opener: urllib.request.OpenerDirector,
    check: Check,
    door: Door,
    headers: dict[str, str],
    timeout_s: float,
) -> Answer:
    url = door.url.rstrip("/")
    body = None if check.body is None else json.dumps(check.body).encode()
    if body is not None:
        headers = {**headers, "content-type": "application/json"}
    try:
        request = urllib.request.Request(f"{url}{check.path}", data=body, headers=headers)
        with opener.open(request, timeout=timeout_s) as answer:
            status, read = answer.status, answer.read(_MOST)
    except urllib.error.HTTPError as error:
        status, read = error.code, error.read(_MOST)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        return Answer(check.title, False, f"{url} does not answer: {reason}")
    except ValueError:  # it would repeat a token
        return Answer(check.title, False, f"{url} cannot be asked: the URL or the token is wrong")
    if status != check.status:
        told = " ".join(read[:300].decode(errors="replace").split())
        return Answer(check.title, False, f"answered {status}, not {check.status}: {told}")
    if check.model:
        model = _model(read)
        if model != check.model:
            return Answer(check.title, False, f"answered by {model!r}, not {check.model!r}")
        return Answer(check.title, True, f"{status}, by {model}")
    return Answer(check.title, True, str(status))


def _model(read: bytes) -> str:
    try:
        found: Any = json.loads(read)
    except ValueError:
        return ""
    return str(found.get("model", "")) if isinstance(found, dict) else ""
