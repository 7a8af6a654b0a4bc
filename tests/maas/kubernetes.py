"""What the API server of the tests lacks: TokenReview, TokenRequest and SubjectAccessReview.

A door to the genuine server that answers these three itself, from what the genuine one holds:
tokens are signed, name the uid of a ServiceAccount that has to be there still, and live no shorter
than ten minutes; rights are those of its Roles and RoleBindings. Everything else goes through.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jwt
from aiohttp import ClientSession, TCPConnector, web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from wayside.kube.access import Access
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.settings.address import parse_address
from wayside.vocab.resource import SERVICE_ACCOUNTS, Resource

ISSUER = "https://kubernetes.default.svc"
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
_TOKEN = re.compile(r"/api/v1/namespaces/([^/]+)/serviceaccounts/([^/]+)/token")


@dataclass
class Cluster:
    """``people`` are tokens that an administrator gave out (``oc whoami -t``): the user and the
    groups. ``asked`` is what was answered here, by kind. ``broken`` refuses a kind with 500."""

    access: Access
    admin: Client
    people: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    clock: Callable[[], float] = time.time
    key: Any = field(default_factory=lambda: generate_private_key(SECP256R1()))

    def count(self, kind: str) -> int:
        return len([1 for asked, _ in self.asked if asked == kind])

    async def request(self, space: str, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        """A TokenRequest."""
        try:
            account = await self.admin.get(SERVICE_ACCOUNTS, name, space)
        except NotFound:
            return 404, status(404, f'serviceaccounts "{name}" not found')
        seconds = body["spec"].get("expirationSeconds", 3600)
        if seconds < 600:
            return 422, status(422, "may not specify a duration less than 10 minutes")
        now = int(self.clock())
        claims = {
            "aud": body["spec"]["audiences"],
            "exp": now + seconds,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": space,
                "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
            },
            "nbf": now,
            "sub": f"system:serviceaccount:{space}:{name}",
        }
        token = jwt.encode(claims, self.key, algorithm="ES256")
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + seconds))
        return 201, {**body, "status": {"token": token, "expirationTimestamp": ends}}

    async def review(self, body: dict[str, Any]) -> dict[str, Any]:
        """A TokenReview."""
        token, wanted = body["spec"]["token"], body["spec"].get("audiences") or [ISSUER]
        if token in self.people:
            if ISSUER not in wanted:
                return {"authenticated": False, "error": "token audiences are not accepted"}
            user, groups = self.people[token]
            return yes(user, groups, [ISSUER])
        try:
            claims = jwt.decode(
                token, self.key.public_key(), algorithms=["ES256"], issuer=ISSUER,
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False,
                         "verify_iat": False},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            return {"authenticated": False, "error": str(error)}
        meant = [audience for audience in claims["aud"] if audience in wanted]
        if not meant or claims["exp"] <= self.clock():
            return {"authenticated": False, "error": "not for this, or expired"}
        about = claims["kubernetes.io"]
        space, name = about["namespace"], about["serviceaccount"]["name"]
        try:
            account = await self.admin.get(SERVICE_ACCOUNTS, name, space)
        except NotFound:
            return {"authenticated": False, "error": "the account is gone"}
        if account["metadata"]["uid"] != about["serviceaccount"]["uid"]:
            return {"authenticated": False, "error": "the account is another one"}
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{space}",
                  "system:authenticated"]  # fmt: skip
        return yes(claims["sub"], groups, meant)

    async def may(self, body: dict[str, Any]) -> dict[str, Any]:
        """A SubjectAccessReview, by the Roles of its namespace."""
        spec = body["spec"]
        what = spec["resourceAttributes"]
        for binding in (await self.admin.list(BINDINGS, what["namespace"]))[0]:
            who = [(s["kind"], s["name"]) for s in binding.get("subjects", [])]
            mine = [("Group", group) for group in spec.get("groups", [])]
            if not {("User", spec["user"]), *mine} & set(who):
                continue
            role = await self.admin.get(ROLES, binding["roleRef"]["name"], what["namespace"])
            for rule in role["rules"]:
                names = rule.get("resourceNames")
                if (
                    what["verb"] in rule["verbs"]
                    and what["group"] in rule["apiGroups"]
                    and what["resource"] in rule["resources"]
                    and (not names or what["name"] in names)
                ):
                    return {"allowed": True, "reason": binding["metadata"]["name"]}
        return {"allowed": False}


def yes(user: str, groups: list[str], audiences: list[str]) -> dict[str, Any]:
    who = {"username": user, "groups": groups, "uid": "x"}
    return {"authenticated": True, "user": who, "audiences": audiences}


def status(code: int, message: str) -> dict[str, Any]:
    reason = {404: "NotFound", 422: "Invalid"}.get(code, "InternalError")
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message,
            "reason": reason, "code": code}  # fmt: skip


@asynccontextmanager
async def completed(upstream: Access, admin: Client) -> AsyncIterator[Cluster]:
    """The genuine server behind ``upstream``, with what it lacks, over plain http."""
    cluster = Cluster(upstream, admin)
    tls = upstream.tls()

    async def own(request: web.Request) -> web.Response | None:
        path = request.path
        if request.method != "POST":
            return None
        kind = {"tokenreviews": "TokenReview", "subjectaccessreviews": "SubjectAccessReview"}.get(
            path.rpartition("/")[2], "TokenRequest" if _TOKEN.fullmatch(path) else ""
        )
        if not kind:
            return None
        body = await request.json()
        cluster.asked.append((kind, body))
        if kind in cluster.broken:
            return web.json_response(status(500, "broken"), status=500)
        if kind == "TokenRequest":
            match = _TOKEN.fullmatch(path)
            assert match is not None
            code, answer = await cluster.request(match[1], match[2], body)
            return web.json_response(answer, status=code)
        said = await (cluster.review(body) if kind == "TokenReview" else cluster.may(body))
        return web.json_response({**body, "status": said}, status=201)

    async with ClientSession(connector=TCPConnector(ssl=tls or False)) as session:

        async def handle(request: web.Request) -> web.Response:
            answered = await own(request)
            if answered is not None:
                return answered
            kept = ("authorization", "content-type", "accept")
            async with session.request(
                request.method,
                f"{upstream.server}{request.path_qs}",
                data=await request.read(),
                headers={k: v for k, v in request.headers.items() if k.lower() in kept},
            ) as answer:
                body = await answer.read()
                return web.Response(
                    status=answer.status, body=body, content_type=answer.content_type
                )

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        cluster.access = replace(upstream, server=parse_address(f"http://127.0.0.1:{port}"))
        try:
            yield cluster
        finally:
            await runner.cleanup()
