"""Who may do what: a controller run as itself, under exactly the Roles that are shipped.

The API server decides by RBAC, and :class:`Recorder` stands between it and the controller, in this
process or another one, and writes down what was asked for:

    async with Recorder(kubeconfig, OPERATOR) as recorder:
        grant(kubectl, OPERATOR)
        ...                                   # run it with recorder.kubeconfig
    assert not recorder.refused
    assert recorder.used <= granted(OPERATOR)
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import yaml
from aiohttp import web

from tests.cluster import Kubectl
from wayside.manifests.install import Install

DEPLOY = Path(__file__).parents[2] / "deploy"
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class Right(NamedTuple):
    """``Right("patch", "vllm.ai", "semanticrouters/status")``."""

    verb: str
    group: str
    resource: str


def folder(install: Install) -> Path:
    """Where its Roles lie."""
    where = "operator" if install.program == "operator" else "router-controller"
    return DEPLOY / where / "config" / "rbac"


def granted(install: Install) -> set[Right]:
    """What the shipped Roles allow it, wherever they do."""
    names = ("role.yaml", "leader_election_role.yaml")
    roles = (yaml.safe_load((folder(install) / name).read_text()) for name in names)
    return {right for role in roles for right in of_rules(role["rules"])}


def of_rules(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    return {
        Right(verb, group, resource)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def grant(kubectl: Kubectl, install: Install) -> None:
    """Apply its namespace, ServiceAccount, Roles and bindings, as an administrator does."""
    kubectl("apply", "-f", f"{folder(install)}/")


def right(method: str, path: str, query: Mapping[str, str]) -> Right | None:
    """What a request asks leave for; ``None`` for what is no resource (discovery, health)."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return None
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    resource, name = rest[0], rest[1] if len(rest) > 1 else ""
    if len(rest) > 2:
        resource += f"/{rest[2]}"
    if method == "GET":
        watching = query.get("watch") in ("1", "true")
        verb = "get" if name else "watch" if watching else "list"
    elif method == "DELETE":
        verb = "delete" if name else "deletecollection"
    else:
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch"}[method]
    return Right(verb, group, resource)


class Recorder:
    """A door before the API server that says who came through it and what they asked for.

    ``kubeconfig`` is for whoever shall be recorded; it has the token of the shipped
    ServiceAccount. ``used``: rights without which a request would have been refused. ``refused``:
    requests that were, as text.
    """

    def __init__(self, kubeconfig: Path, install: Install) -> None:
        found = yaml.safe_load(kubeconfig.read_text())
        self._server = found["clusters"][0]["cluster"]["server"]
        self._account = install.account
        self._beside = kubeconfig.parent
        self._trust = ssl.create_default_context()
        self._trust.check_hostname, self._trust.verify_mode = False, ssl.CERT_NONE
        self.used: set[Right] = set()
        self.refused: list[str] = []
        self.requests = 0

    async def __aenter__(self) -> Recorder:
        self._stack = contextlib.AsyncExitStack()
        self._client = await self._stack.enter_async_context(
            aiohttp.ClientSession(
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding", "Accept", "User-Agent", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None),
                connector=aiohttp.TCPConnector(limit=0, ssl=self._trust),
            )
        )
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.kubeconfig = self._beside / f"recorded-{port}"
        self.kubeconfig.write_text(yaml.safe_dump(self._config(f"http://{host}:{port}")))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _config(self, server: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {"token": self._account}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = self._server + urlsplit(str(request.rel_url)).path
        async with self._client.request(
            request.method,
            url,
            params=request.query,
            headers={**headers, "Authorization": f"Bearer {self._account}"},
            data=await request.read() or None,
        ) as answer:
            self._record(request, answer.status)
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            out = web.StreamResponse(status=answer.status, headers=kept)
            await out.prepare(request)
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                async for chunk in answer.content.iter_any():
                    await out.write(chunk)
            return out

    def _record(self, request: web.Request, status: int) -> None:
        asked = right(request.method, request.path, request.query)
        if asked is None:
            return
        if status == 403:
            self.refused.append(f"{request.method} {request.path_qs}")
            return
        self.used.add(asked)
        if asked.verb == "patch" and status == 201:
            self.used.add(asked._replace(verb="create"))  # applied where nothing was
