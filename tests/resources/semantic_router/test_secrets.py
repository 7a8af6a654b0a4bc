"""Secrets reach the router and nobody else, and may change while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.running import Running, chat
from tests.stores.redis_rig import RedisServer, plain
from wayside.resources.semantic_router import backends, config, secrets
from wayside.resources.semantic_router.secrets import SecretUse

from .goldens import CASES, load, make
from .live import external, model_server, served

SECRET = "hunter2-and-more"


def swap(folder: Path, files: dict[str, bytes]) -> None:
    """Put files where the kubelet would: a folder for each version, and one link that is
    replaced."""
    version = folder / f"..{uuid.uuid4().hex}"
    for name, content in files.items():
        path = version / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.replace(folder / "..data")
    for name in files:
        top = folder / name.split("/")[0]
        if not top.is_symlink():
            top.symlink_to(f"..data/{top.name}")


# --- what is mounted -----------------------------------------------------------------------------


def test_a_volume_has_each_key_once() -> None:
    """A1-97: by reference, in a projected volume that the kubelet keeps up to date."""
    uses = [
        SecretUse("redis", "password"),
        SecretUse("redis", "password", optional=True, where="again"),
        SecretUse("keys", "b"),
        SecretUse("keys", "a"),
        SecretUse("redis", "ca.crt", "ConfigMap", optional=True),
    ]

    volume = secrets.volume(uses)

    assert volume == {
        "name": "secrets",
        "projected": {
            "defaultMode": 0o440,
            "sources": [
                {
                    "configMap": {
                        "name": "redis",
                        "items": [{"key": "ca.crt", "path": "configmaps/redis/ca.crt"}],
                        "optional": True,
                    }
                },
                {
                    "secret": {
                        "name": "keys",
                        "items": [{"key": "a", "path": "keys/a"}, {"key": "b", "path": "keys/b"}],
                    }
                },
                {
                    "secret": {
                        "name": "redis",
                        "items": [{"key": "password", "path": "redis/password"}],
                    }
                },
            ],
        },
    }  # fmt: skip
    assert secrets.volume([]) is None
    assert secrets.mount()["mountPath"] == "/etc/wayside/secrets"
    assert "subPath" not in secrets.mount()


@pytest.mark.parametrize(
    "reference",
    [
        {"name": "..", "key": "a"},
        {"name": "a/b", "key": "a"},
        {"name": "A", "key": "a"},
        {"name": "a", "key": "../b"},
        {"name": "a", "key": ".."},
        {"name": "a", "key": "..data"},
        {"name": "a", "key": ""},
        {},
    ],
)
def test_a_reference_is_no_way_out_of_the_volume(reference: dict[str, str]) -> None:
    """A1-97: names and keys that would be paths."""
    assert isinstance(secrets.use(reference, "spec.x"), str)


def test_a_variable_from_a_secret_is_read_from_a_file() -> None:
    """A1-98: a process never sees its environment change."""
    case = next(case for case in CASES if case.name == "embeddings")

    made = make(load(case))

    assert made.secrets == (
        SecretUse(
            "embedding", "api-key", "Secret", "spec.env[0].valueFrom.secretKeyRef"
        ),
    )  # fmt: skip
    assert "EMBEDDING_KEY" not in made.text


_PLAIN = [
    {"backend_type": "redis", "redis": {"connection": {"host": "h", "password": SECRET}}},
    {"backend_type": "valkey", "valkey": {"connection": {"host": "h", "password": SECRET}}},
    {"backend_type": "milvus",
     "milvus": {"connection": {"host": "h", "auth": {"password": SECRET}}}},
    {"backend_type": "qdrant", "qdrant": {"host": "h", "api_key": SECRET}},
    {"enabled": False, "redis": {"connection": {"host": "h", "password": SECRET}}},
]  # fmt: skip


@pytest.mark.parametrize("cache", _PLAIN, ids=lambda cache: cache.get("backend_type", "off"))
def test_a_secret_in_the_resource_is_refused_and_never_repeated(cache: dict[str, Any]) -> None:
    """A1-97 (D9): with what to write instead, and without the value in anything we make."""
    made = make({"config": {"response_cache": cache}})

    field = "api_key" if cache.get("backend_type") == "qdrant" else "password"
    (problem,) = [p for p in made.problems if p.partition(": ")[0].endswith(f".{field}")]
    assert f"put it into a Secret and write {field}_secret_ref" in problem
    assert made.settings is None
    assert SECRET not in repr(made)


def test_a_key_in_a_plugin_is_refused_and_never_repeated() -> None:
    """A1-97 (D9): wherever else somebody may have written one."""
    plugin = {"type": "image_gen", "configuration": {"backend": "openai", "backend_config": {
        "base_url": "https://x/v1", "model": "dall-e", "api_key": SECRET}}}  # fmt: skip
    decision = {"name": "d", "rules": {"operator": "AND", "conditions": []},
                "modelRefs": [{"model": "m"}], "plugins": [plugin]}  # fmt: skip

    made = make({"config": {"decisions": [decision]}})

    assert any("a key in the document itself is not copied" in p for p in made.problems)
    assert SECRET not in repr(made)


def test_what_is_told_of_a_backend_has_no_secret_in_it() -> None:
    """A1-97: the status names no Secret, let alone a value."""
    case = next(case for case in CASES if case.name == "keys")
    made = make(load(case))

    assert made.settings is not None
    assert {use.file for use in made.secrets} == {
        f"/etc/wayside/secrets/{path}"
        for path in (
            "anthropic/key", "guarded-key/token", "openai-api-key/key",
            "configmaps/openshift-service-ca.crt/service-ca.crt",
        )
    }  # fmt: skip
    told = backends.Backend(name="a", model="m", type="service", key=SecretUse("s", "k")).told()
    assert sorted(told) == [
        "lastTransitionTime",
        "message",
        "model",
        "name",
        "ready",
        "reason",
        "type",
        "url",
    ]


# --- rotation, live ------------------------------------------------------------------------------


async def until(holds: Callable[[], Any], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.1)


async def test_a_rotated_key_is_used_without_a_restart(tmp_path: Path) -> None:
    """A1-98, A1-97: the next request after the kubelet's swap carries the new key, and no
    configuration was read again."""
    seen: list[str] = []
    swap(tmp_path, {"provider/key": b"sk-old\n"})
    async with model_server(seen) as port:
        key = {"apiKeySecretRef": {"name": "provider", "key": "key"}}
        made = make({"vllmEndpoints": [external(port, **key)]})
        async with served(made, tmp_path) as router:
            assert (await router.ask(chat("hi"))).status == 200
            generation = router.app.state.generation
            swap(tmp_path, {"provider/key": b"sk-new\n"})

            async def rotated() -> bool:
                await router.ask(chat("hi"))
                return seen[-1] == "Bearer sk-new"

            await until(rotated)
            assert router.app.state.generation == generation
    assert set(seen) == {"Bearer sk-old", "Bearer sk-new"}
    assert "sk-" not in made.text


async def test_a_rotated_authority_is_believed_without_a_restart(tmp_path: Path) -> None:
    """A1-98: a server that shows a certificate of a new authority, once the file has it."""
    old, new = trustme.CA(), trustme.CA()
    seen: list[str] = []
    swap(tmp_path, {"configmaps/ca/ca.crt": old.cert_pem.bytes()})
    backend = {"caConfigMapRef": {"name": "ca", "key": "ca.crt"}}

    def shown(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        return context

    async with contextlib.AsyncExitStack() as first:
        port = await first.enter_async_context(model_server(seen, shown(old)))
        made = make({"vllmEndpoints": [external(port, "https", **backend)]})
        async with served(made, tmp_path) as router:
            assert (await router.ask(chat("hi"))).status == 200
            await first.aclose()
            async with model_server(seen, shown(new), port):
                assert (await router.ask(chat("hi"))).status >= 500
                swap(tmp_path, {"configmaps/ca/ca.crt": b"half a certificate"})
                await asyncio.sleep(1.5)
                swap(tmp_path, {"configmaps/ca/ca.crt": new.cert_pem.bytes()})

                async def believed() -> bool:
                    return (await router.ask(chat("hi"))).status == 200

                await until(believed, 60)


@pytest.mark.skipif(plain() is None, reason="no redis-server here")
async def test_a_rotated_password_of_the_cache_is_used_without_a_restart(tmp_path: Path) -> None:
    """A1-98, A1-97: Redis comes back with another password, and answers are found again."""
    seen: list[str] = []
    folder = tmp_path / "mounted"
    folder.mkdir()
    swap(folder, {"redis/password": b"old"})
    server = RedisServer(tmp_path, tcp=True).start("--requirepass", "old")
    connection = {
        "host": "127.0.0.1",
        "port": server.port,
        "password_secret_ref": {"name": "redis", "key": "password"},
    }
    cache = {"backend_type": "redis", "redis": {"connection": connection}}
    try:
        async with model_server(seen) as port:
            made = make({"vllmEndpoints": [external(port)], "config": {"response_cache": cache}})
            async with served(made, folder) as router:
                await until(lambda: _cached(router))
                server.kill()
                server.start("--requirepass", "new")
                assert not await _cached(router)
                swap(folder, {"redis/password": b"new"})
                await until(lambda: _cached(router))
    finally:
        server.close()
    assert "old" not in repr(router.access.lines)


async def _cached(router: Running) -> bool:
    """Whether the second of two requests that are the same is answered from the cache."""
    answer = None
    for _ in range(2):
        answer = await router.ask(chat("hi"), {"authorization": "Bearer me"})
        await asyncio.sleep(0.05)
    assert answer is not None
    return answer.headers["x-wayside-cache"].startswith("hit")


def test_nothing_is_mounted_where_nothing_is_secret() -> None:
    """A1-97: a router without keys has no volume of them."""
    assert config.RouterConfig().secrets == ()
    assert make({}).secrets == ()
