"""What goes over the wire, and what is made of what comes back."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from wayside.kube.access import Access, Material, Token
from wayside.kube.client import Client
from wayside.kube.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Refused,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    refusal,
)
from wayside.settings.address import parse_address
from wayside.vocab.resource import CRDS, DEPLOYMENTS, LEASES, NAMESPACES, PODS, Resource

from .fake import FakeApi, status, token_file

PATH = "/api/v1/namespaces/ns/pods"
BODY: dict[str, Any] = {"metadata": {"name": "a"}}


@pytest.mark.parametrize(
    ("resource", "where", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("ns",), "/api/v1/namespaces/ns/pods"),
        (PODS, ("ns", "a"), "/api/v1/namespaces/ns/pods/a"),
        (DEPLOYMENTS, ("ns", "a", "status"), "/apis/apps/v1/namespaces/ns/deployments/a/status"),
        (NAMESPACES, (None, "a"), "/api/v1/namespaces/a"),
        (CRDS, ("ns", "a"), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/a"),
        (PODS, ("../../x", "a/b?c"), "/api/v1/namespaces/..%2F..%2Fx/pods/a%2Fb%3Fc"),
    ],
)
def test_paths(resource: Resource, where: tuple[str, ...], path: str) -> None:
    assert resource.path(*where) == path


@pytest.mark.parametrize("where", [("ns", ""), ("ns", ".."), ("", "a"), (None, "a")])
def test_a_name_that_is_none_asks_for_nothing_else(where: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is no name|live in namespaces"):
        PODS.path(*where)


def test_api_versions() -> None:
    assert (PODS.api_version, LEASES.api_version) == ("v1", "coordination.k8s.io/v1")
    assert str(LEASES) == "leases.v1.coordination.k8s.io"


VERBS: list[tuple[Callable[[Client], Awaitable[Any]], str, str, dict[str, str], str, Any]] = [
    (lambda c: c.create(PODS, BODY, "ns"), "POST", PATH, {}, "application/json", BODY),
    (lambda c: c.replace(PODS, BODY, "ns"), "PUT", f"{PATH}/a", {}, "application/json", BODY),
    (
        lambda c: c.apply(PODS, BODY, "ns", manager="m", force=True),
        "PATCH",
        f"{PATH}/a",
        {"fieldManager": "m", "force": "true"},
        "application/apply-patch+yaml",
        BODY,
    ),
    (
        lambda c: c.apply(PODS, BODY, "ns", sub="status"),
        "PATCH",
        f"{PATH}/a/status",
        {"fieldManager": "wayside"},
        "application/apply-patch+yaml",
        BODY,
    ),
    (
        lambda c: c.merge(PODS, "a", {"spec": None}, "ns"),
        "PATCH",
        f"{PATH}/a",
        {"fieldManager": "wayside"},
        "application/merge-patch+json",
        {"spec": None},
    ),
    (
        lambda c: c.delete(PODS, "a", "ns", uid="u", propagation="Foreground"),
        "DELETE",
        f"{PATH}/a",
        {},
        "application/json",
        {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": "u"},
            "propagationPolicy": "Foreground",
        },
    ),
]


@pytest.mark.parametrize(("act", "method", "path", "query", "kind", "body"), VERBS)
async def test_what_is_sent(
    api: FakeApi,
    act: Callable[[Client], Awaitable[Any]],
    method: str,
    path: str,
    query: dict[str, str],
    kind: str,
    body: Any,
) -> None:
    client = api.client()
    await act(client)
    client.close()

    (asked,) = api.asked
    assert (asked.method, asked.path, asked.query) == (method, path, query)
    assert asked.headers["content-type"] == kind
    assert asked.headers["authorization"] == "Bearer secret-token"
    assert json.loads(asked.body) == body


async def test_a_list_of_pages(api: FakeApi) -> None:
    for i in range(7):
        await api.put(PATH, f"p{i}")
    client = api.client()
    sizes = [len(p.items) async for p in client.pages(PODS, "ns", labels="a in (b,c)", limit=3)]
    items, version = await client.list(PODS, "ns")
    client.close()

    assert sizes == [3, 3, 1]
    assert [i["metadata"]["name"] for i in items] == [f"p{i}" for i in range(7)]
    assert version == str(api.version)
    assert {a.query["labelSelector"] for a in api.asked[:3]} == {"a in (b,c)"}


async def test_connections_are_kept(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0
    real = asyncio.open_connection

    async def counting(*args: Any, **rest: Any) -> Any:
        nonlocal opened
        opened += 1
        return await real(*args, **rest)

    monkeypatch.setattr(asyncio, "open_connection", counting)
    await api.put(PATH, "a")
    client = api.client()
    for _ in range(5):
        await client.list(PODS, "ns")
    client.close()

    assert opened == 1


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", BadRequest),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Gone", Gone),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", ServerError),
        (504, "Timeout", ServerError),
        (418, "Teapot", Refused),
    ],
)
async def test_refusals(api: FakeApi, code: int, reason: str, kind: type[Refused]) -> None:
    api.refusals[PATH, "list"] = (code, reason, {"retry-after": "7"})
    client = api.client()
    with pytest.raises(Refused) as told:
        await client.list(PODS, "ns")
    client.close()

    assert type(told.value) is kind
    assert (told.value.code, told.value.reason, told.value.retry_after_s) == (code, reason, 7)
    assert str(told.value) == f"GET {PATH}: {code} {reason}: the server says {reason}"
    assert "secret-token" not in repr(told.value)


def test_a_refusal_of_something_else_in_between_is_shortened() -> None:
    told = refusal("GET /x", 502, b"<html>\x1b[31m\n bad  gateway" + b"x" * 9000)

    assert isinstance(told, ServerError)
    assert str(told).startswith("GET /x: 502: <html>?[31m bad gatewayxxx")
    assert len(str(told)) < 300


def test_a_long_message_is_cut() -> None:
    body = json.dumps({**status(422, "Invalid"), "message": "x" * 100_000}).encode()

    assert len(str(refusal("PATCH /x", 422, body))) < 1_100


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"kind": "Status", "code": "x"}', b"[" * 9999]
)
def test_any_body_makes_a_refusal(body: bytes) -> None:
    assert type(refusal("GET /x", 403, body)) is Forbidden


async def test_a_rotated_token_is_shown_when_the_last_is_refused(
    api: FakeApi, tmp_path: Path
) -> None:
    await api.put(PATH, "a")
    api.tokens = {"one"}
    path = tmp_path / "token"
    client = api.client(token=token_file(path, "one"))
    await client.list(PODS, "ns")
    path.write_text("two")
    api.tokens = {"two"}
    await client.list(PODS, "ns")
    path.write_text("three")
    api.tokens = {"three"}
    async with client.watch(PODS, "ns", version="0", timeout_s=1) as events:
        assert [e.type async for e in events] == ["ADDED"]
    api.tokens = set()
    with pytest.raises(Unauthorized):
        await client.list(PODS, "ns")
    client.close()

    shown = [a.headers["authorization"].split()[1] for a in api.asked]
    assert shown == ["one", "one", "two", "two", "three", "three"]


@asynccontextmanager
async def answering(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """A server of one's own making; its address."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def at(port: str, scheme: str = "http", **rest: Any) -> Client:
    access = Access(
        server=parse_address(f"{scheme}://127.0.0.1:{port}"), token=Token("secret-token"), **rest
    )
    return Client(access, timeout_s=0.5)


def reply(text: bytes, *, wait_s: float = 0) -> Callable[[Any, Any], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        await asyncio.sleep(wait_s)

    return answer


BROKEN = {
    "silence": (b"", 2, "no answer in 0.5 s"),
    "closed": (b"", 0, "closed the connection without an answer"),
    "not http": (b"SSH-2.0-OpenSSH\r\n\r\n", 0, "did not answer with HTTP"),
    "half": (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", 0, "in the middle of its answer"),
    "head without end": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * (1 << 20), 2, "more than"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_answer_is_no_answer(case: str) -> None:
    text, wait_s, said = BROKEN[case]
    async with answering(reply(text, wait_s=wait_s)) as port:
        client = at(port)
        with pytest.raises(Unreachable, match=said):
            await client.get(PODS, "a", "ns")
        with pytest.raises(Unreachable):
            async with client.watch(PODS, "ns", version="1") as events:
                async for _ in events:
                    pass
        client.close()


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"3", b'{"items": 3}'])
async def test_an_answer_that_is_no_object_is_no_answer(body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    async with answering(reply(head + body)) as port:
        client = at(port)
        if not body.startswith(b"{"):
            with pytest.raises(Unreachable, match="no JSON object"):
                await client.get(PODS, "a", "ns")
        with pytest.raises(Unreachable, match="not a list"):
            await client.list(PODS, "ns")
        client.close()


async def test_nobody_there() -> None:
    async with answering(reply(b"")) as port:
        pass
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}: "):
        await at(port).get(PODS, "a", "ns")


async def test_a_watch_that_outlives_its_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wayside.kube.client.GRACE_S", 0.1)
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    async with answering(reply(head, wait_s=5)) as port:
        with pytest.raises(Unreachable, match=r"went on for more than 1\.1 s"):
            async with at(port).watch(PODS, "ns", version="1", timeout_s=1) as events:
                async for _ in events:
                    pass


async def test_a_get_is_sent_again_where_a_kept_connection_was_closed_and_a_write_is_not() -> None:
    count = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")  # the second is taken, and never answered
        count += 1

    async with answering(once) as port:
        client = at(port)
        await client.get(PODS, "a", "ns")
        await client.get(PODS, "a", "ns")
        assert count == 1
        with pytest.raises(Unreachable):
            await client.create(PODS, BODY, "ns")
        client.close()

    assert count == 2


async def test_certificates_both_ways(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("k8s.example").configure_cert(tls)
    theirs.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    leaf = theirs.issue_cert("client")
    ca = tmp_path / "ca.crt"
    ca.write_bytes(ours.cert_pem.bytes())
    shown: dict[str, Any] = {
        "certificate": Material(text=leaf.cert_chain_pems[0].bytes().decode()),
        "key": Material(text=leaf.private_key_pem.bytes().decode()),
        "ca": Material(ca),
        "server_name": "k8s.example",
    }
    answer = reply(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    async with answering(answer, tls) as port:
        client = at(port, "https", **shown)
        assert await client.get(PODS, "a", "ns") == {}
        # the authority's file is replaced by half of one, then by another authority's
        ca.write_text("-----BEGIN")
        with pytest.raises(Unreachable, match="certificate-authority"):
            await client.get(PODS, "a", "ns")
        ca.write_bytes(theirs.cert_pem.bytes())
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            await client.get(PODS, "a", "ns")
        ca.write_bytes(ours.cert_pem.bytes())
        assert await client.get(PODS, "a", "ns") == {}
        client.close()

        wrong = at(port, "https", **{**shown, "server_name": None})
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            await wrong.get(PODS, "a", "ns")


async def test_nothing_of_a_client_shows_its_token(api: FakeApi) -> None:
    client = api.client()

    assert "secret-token" not in repr(client) + repr(client.access)


async def test_what_a_list_and_a_watch_ask_for(api: FakeApi) -> None:
    await api.put(PATH, "a")
    client = api.client()
    chosen = {"labels": "app=x", "fields": "metadata.name=a"}
    _, version = await client.list(PODS, "ns", **chosen)
    async with client.watch(PODS, "ns", version=version, timeout_s=1, **chosen) as events:
        assert [e.type async for e in events] == []
    client.close()

    selectors = {"labelSelector": "app=x", "fieldSelector": "metadata.name=a"}
    listed, watched = (a.query for a in api.asked)
    assert listed == {**selectors, "limit": "500"}
    assert watched == {
        **selectors,
        "watch": "1",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": "1",
    }
