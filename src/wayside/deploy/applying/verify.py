"""Whether a deployment answers: requests through its front door, as clients send them."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wayside.deploy import Check
from wayside.deploy.applying.cluster import Cluster
from wayside.deploy.intent import Intent
from wayside.vocab.objects import section, sections, text
from wayside.vocab.resource import GATEWAYS, INGRESSES, ROUTES

_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one check."""

    title: str
    ok: bool
    detail: str = ""


async def front_door(cluster: Cluster, intent: Intent) -> str:
    """Where clients of a deployment connect, as the cluster says it; empty where it does not."""
    wish, name = intent.exposure, intent.name
    if wish.kind == "route" and await cluster.has(ROUTES):
        found = await cluster.get(ROUTES, name, intent.namespace)
        host = text(section(found, "spec").get("host"))
        return f"{'http' if wish.tls == 'none' else 'https'}://{host}" if host else ""
    if wish.kind == "ingress":
        found = await cluster.get(INGRESSES, name, intent.namespace)
        served = sections(section(found, "status", "loadBalancer").get("ingress"))
        return f"{'http' if wish.tls == 'none' else 'https'}://{wish.host}" if served else ""
    if intent.gateway is not None and await cluster.has(GATEWAYS):
        where = intent.gateway.namespace or intent.namespace
        found = await cluster.get(GATEWAYS, intent.gateway.name, where)
        for address in sections(section(found, "status").get("addresses")):
            value = text(address.get("value"))
            return f"http://[{value}]" if ":" in value else f"http://{value}"
    return ""


async def verify(
    checks: Iterable[Check],
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    ca_file: str | None = None,
    timeout_s: float = 60.0,
) -> list[Answer]:
    """Ask each, one after the other."""
    trust = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    return [
        await asyncio.to_thread(
            _ask, check, url.rstrip("/"), dict(headers or {}), trust, timeout_s
        )
        for check in checks
    ]


def _ask(
    check: Check, url: str, headers: dict[str, str], trust: ssl.SSLContext | None, timeout_s: float
) -> Answer:
    body = None if check.body is None else json.dumps(check.body).encode()
    if body is not None:
        headers = {**headers, "content-type": "application/json"}
    request = urllib.request.Request(f"{url}{check.path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s, context=trust) as answer:
            status, read = answer.status, answer.read(_MOST)
    except urllib.error.HTTPError as error:
        status, read = error.code, error.read(_MOST)
    except OSError as error:
        reason = getattr(error, "reason", error)
        return Answer(check.title, False, f"{url} does not answer: {reason}")
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
