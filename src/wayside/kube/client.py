"""The requests that an API server understands: get, list, watch, create, apply, patch, delete.

Objects are dictionaries as the server writes them. Every error is a :class:`KubeError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec

from wayside.kube.access import Access
from wayside.kube.errors import NotFound, Unreachable, refusal
from wayside.kube.wire import Wire, anything, retry_after
from wayside.net.h1 import Answer
from wayside.vocab.resource import Resource

Object = dict[str, Any]
Query = Mapping[str, str | int | None]
PAGE: Final = 500
"""Objects asked for at once, as client-go does."""
GRACE_S: Final = 15.0
"""A watch that the server does not end in its own time is ended by us so much later."""
MANAGER: Final = "wayside"
LIST: Final = list
"""Its name is a method's here."""
Propagation = Literal["Background", "Foreground", "Orphan"]


class Page(msgspec.Struct, frozen=True):
    """A part of a list: the objects' JSON (views of the answer, which lives as long as they do),
    and the version of the list as a whole."""

    items: tuple[msgspec.Raw, ...]
    resource_version: str


class Event(msgspec.Struct, frozen=True):
    """What a watch tells: ``type`` is ADDED, MODIFIED, DELETED or BOOKMARK, ``object`` the
    object's JSON (of a bookmark, only its ``resourceVersion`` is said)."""

    type: str
    object: msgspec.Raw


class _Meta(msgspec.Struct):
    resourceVersion: str = ""
    next: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _Meta
    items: tuple[msgspec.Raw, ...] | None = None


_list = msgspec.json.Decoder(_List).decode
_event = msgspec.json.Decoder(Event).decode
_object = msgspec.json.Decoder(Object).decode
_encode = msgspec.json.Encoder().encode


class Client:
    """Asks one API server. Belongs to the event loop that is running when it is made.

    ``timeout_s`` is for each request, each page of a list, and the beginning of a watch.
    ``partial`` asks lists and watches for the objects' ``metadata`` only. ``may_write`` and
    ``answered``: see :class:`Wire`.
    """

    def __init__(
        self,
        access: Access,
        *,
        timeout_s: float = 30.0,
        partial: bool = False,
        may_write: Callable[[], bool] = anything,
        answered: Callable[[str, int], None] | None = None,
    ) -> None:
        """Raises :class:`ConfigError` for certificates that cannot be used."""
        self.access, self.timeout_s = access, timeout_s
        self._wire = Wire(access, partial=partial, may_write=may_write, answered=answered)

    def __repr__(self) -> str:
        return f"Client({self.access.server})"

    def close(self) -> None:
        """Close the connections that are kept; watches end with their tasks."""
        self._wire.close()

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, sub: str = ""
    ) -> Object:
        """One object. Raises :class:`NotFound`."""
        return await self._ask("GET", resource.path(namespace, name, sub))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
    ) -> tuple[list[Object], str]:
        """All objects, and the version to watch from. Of many objects use :meth:`pages`, which
        holds one page at a time."""
        items: list[Object] = []
        version = ""
        async for page in self.pages(resource, namespace, labels=labels, fields=fields):
            items += [read_object(raw, str(resource)) for raw in page.items]
            version = page.resource_version
        return items, version

    async def pages(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        fields: str = "",
        limit: int = PAGE,
    ) -> AsyncIterator[Page]:
        """All objects in pages of at most ``limit``, as they were at one time.

        Raises :class:`Gone` when the server has forgotten that time between two pages: what came
        so far is to be thrown away. ``limit=0`` asks for one page with everything.
        """
        token = ""
        while True:
            query = {"labelSelector": labels, "fieldSelector": fields, "limit": limit or None}
            answer = await self._send(
                "GET", resource.path(namespace), query={**query, "continue": token}
            )
            try:
                found = _list(answer.body)
            except (msgspec.MsgspecError, UnicodeError) as error:
                raise Unreachable(f"GET {resource.path(namespace)}: not a list") from error
            token = found.metadata.next
            yield Page(found.items or (), found.metadata.resourceVersion)
            if not token:
                return

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        version: str,
        labels: str = "",
        fields: str = "",
        timeout_s: int = 300,
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """What happened after ``version``, for about ``timeout_s`` seconds; ends without an error
        when the server ends it.

        Raises :class:`Gone` when ``version`` is too old, and the :class:`Refused` of any other
        ERROR event.
        """
        path = resource.path(namespace)
        query: Query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "labelSelector": labels,
            "fieldSelector": fields,
            "timeoutSeconds": timeout_s,
        }
        async with self._wire.lines(
            _target(path, query), begin_s=self.timeout_s, whole_s=timeout_s + GRACE_S
        ) as lines:
            yield _events(lines, f"GET {path} (watch)")

    async def groups(self) -> tuple[str, ...]:
        """The version that the server prefers of each group but the core: ``apps/v1``."""
        found = (await self._ask("GET", "/apis")).get("groups")
        listed = found if isinstance(found, LIST) else []
        return tuple(str(group["preferredVersion"]["groupVersion"]) for group in listed)

    async def kinds(self, api_version: str) -> dict[str, Resource]:
        """What the server keeps of a group's version (``apps/v1``), by kind; nothing where it
        serves none."""
        root = "/apis" if "/" in api_version else "/api"
        group, _, version = api_version.rpartition("/")
        try:
            found = await self._ask("GET", f"{root}/{api_version}")
        except NotFound:
            return {}
        listed = found.get("resources")
        return {
            str(one["kind"]): Resource(
                group, version, str(one["name"]), bool(one.get("namespaced"))
            )
            for one in (listed if isinstance(listed, LIST) else [])
            if isinstance(one, dict) and "kind" in one and "/" not in str(one.get("name", "/"))
        }

    async def create(
        self,
        resource: Resource,
        body: Object,
        namespace: str | None = None,
        *,
        name: str | None = None,
        sub: str = "",
    ) -> Object:
        """Raises :class:`AlreadyExists`. With ``name`` and ``sub``, a thing under another one: a
        ServiceAccount's ``token``."""
        return await self._ask("POST", resource.path(namespace, name, sub), body)

    async def replace(
        self, resource: Resource, body: Object, namespace: str | None = None, *, sub: str = ""
    ) -> Object:
        """Write all of an object. With the ``resourceVersion`` that it was read with, only if
        nobody changed it since; else :class:`Conflict`."""
        path = resource.path(namespace, body["metadata"]["name"], sub)
        return await self._ask("PUT", path, body)

    async def apply(
        self,
        resource: Resource,
        body: Object,
        namespace: str | None = None,
        *,
        manager: str = MANAGER,
        force: bool = False,
        dry_run: bool = False,
        sub: str = "",
    ) -> Object:
        """Server-side apply: the fields in ``body`` are ``manager``'s, and those it left out this
        time are gone if nobody else has them.

        ``force`` takes fields over from others; without it that is a :class:`Conflict`. ``body``
        needs ``apiVersion``, ``kind`` and ``metadata.name``, and no ``managedFields``. With
        ``dry_run`` nothing is written: the answer is the object as it would be.
        """
        path = resource.path(namespace, body["metadata"]["name"], sub)
        query = {
            "fieldManager": manager,
            "force": "true" if force else None,
            "dryRun": "All" if dry_run else None,
        }
        return await self._ask("PATCH", path, body, query, "application/apply-patch+yaml")

    async def merge(
        self,
        resource: Resource,
        name: str,
        patch: Object,
        namespace: str | None = None,
        *,
        manager: str = MANAGER,
        sub: str = "",
    ) -> Object:
        """JSON merge patch (RFC 7396): ``None`` removes a field, a list replaces a list."""
        path = resource.path(namespace, name, sub)
        query = {"fieldManager": manager}
        return await self._ask("PATCH", path, patch, query, "application/merge-patch+json")

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str = "",
        propagation: Propagation | None = None,
    ) -> None:
        """Delete one object, with ``uid`` only if it is still that one (else :class:`Conflict`);
        ``propagation`` says what becomes of what it owns. Raises :class:`NotFound`."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        await self._send("DELETE", resource.path(namespace, name), options)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: Query | None = None,
        content_type: str = "application/json",
    ) -> Object:
        answer = await self._send(method, path, body, query, content_type)
        return read_object(answer.body, f"{method} {path}")

    async def _send(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        query: Query | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        answer = await self._wire.ask(
            method,
            _target(path, query or {}),
            body=b"" if body is None else _encode(body),
            content_type=content_type,
            timeout_s=self.timeout_s,
        )
        if 200 <= answer.status < 300:
            return answer
        raise refusal(f"{method} {path}", answer.status, answer.body, retry_after(answer.headers))


def read_object(raw: bytes | bytearray | msgspec.Raw, what: str) -> Object:
    """The object of its JSON. Raises :class:`Unreachable`."""
    try:
        return _object(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Unreachable(f"{what}: what came is no JSON object") from error


async def _events(lines: AsyncIterator[bytes], what: str) -> AsyncIterator[Event]:
    async for line in lines:
        try:
            event = _event(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise Unreachable(f"{what}: what came is no event") from error
        if event.type == "ERROR":
            raise refusal(what, 500, bytes(event.object))
        yield event


def _target(path: str, query: Query) -> str:
    asked = urlencode({k: v for k, v in query.items() if v not in (None, "")})
    return f"{path}?{asked}" if asked else path
