"""Client and watch against a genuine API server."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wayside.kube.access import Token
from wayside.kube.client import Client
from wayside.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Unreachable,
)
from wayside.kube.inference import OLD_REWRITES, read_rewrite
from wayside.kube.kubeconfig import find_access
from wayside.kube.pace import Pace
from wayside.kube.pods import Pod, read_pod
from wayside.kube.watch import Reflector
from wayside.vocab.resource import CONFIG_MAPS, CRDS, DEPLOYMENTS, LEASES, PODS, Resource

from .genuine import account, allow, crd, install, running, set_ready, signed_in, start
from .test_watch import SOON, until

pytestmark = pytest.mark.shared


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data,
    }


async def test_an_object_comes_changes_and_goes(admin: Client, namespace: str) -> None:
    made = await admin.create(CONFIG_MAPS, config_map("a", x="1"), namespace)
    with pytest.raises(AlreadyExists, match='"a" already exists'):
        await admin.create(CONFIG_MAPS, config_map("a"), namespace)
    merged = await admin.merge(CONFIG_MAPS, "a", {"data": {"x": None, "y": "2"}}, namespace)
    assert merged["data"] == {"y": "2"}
    with pytest.raises(Conflict, match="the object has been modified"):
        await admin.replace(CONFIG_MAPS, {**made, "data": {}}, namespace)
    await admin.replace(CONFIG_MAPS, {**merged, "data": {"z": "3"}}, namespace)
    assert (await admin.get(CONFIG_MAPS, "a", namespace))["data"] == {"z": "3"}
    with pytest.raises(Conflict):
        await admin.delete(CONFIG_MAPS, "a", namespace, uid="another")
    await admin.delete(CONFIG_MAPS, "a", namespace, uid=made["metadata"]["uid"])
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await admin.get(CONFIG_MAPS, "a", namespace)
    with pytest.raises(NotFound):
        await admin.delete(CONFIG_MAPS, "a", namespace)


async def test_server_side_apply_shares_an_object(admin: Client, namespace: str) -> None:
    def apply(manager: str, force: bool = False, **data: str) -> Any:
        return admin.apply(
            CONFIG_MAPS, config_map("a", **data), namespace, manager=manager, force=force
        )

    await apply("one", x="1", y="1")
    with pytest.raises(Conflict, match='conflict with "one"'):
        await apply("two", x="2")
    taken = await apply("two", force=True, x="2")
    assert taken["data"] == {"x": "2", "y": "1"}
    left = await apply("one")  # gives up y; x is the other's by now
    assert left["data"] == {"x": "2"}


async def test_a_status_is_written_apart(admin: Client, namespace: str) -> None:
    labels = {"app": "x"}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    await admin.apply(DEPLOYMENTS, body, namespace)
    status = {**body, "spec": None, "status": {"readyReplicas": 1, "replicas": 1}}
    del status["spec"]
    await admin.apply(DEPLOYMENTS, status, namespace, sub="status")

    found = await admin.get(DEPLOYMENTS, "a", namespace)
    assert (found["status"]["readyReplicas"], found["metadata"]["generation"]) == (1, 1)


async def test_a_lease_is_taken_by_one(admin: Client, namespace: str) -> None:
    made = await admin.create(
        LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": ""}}, namespace
    )
    made["spec"]["holderIdentity"] = "me"
    await admin.replace(LEASES, made, namespace)
    made["spec"]["holderIdentity"] = "you"
    with pytest.raises(Conflict):
        await admin.replace(LEASES, made, namespace)


async def test_what_breaks_the_schema_is_told_by_field(admin: Client) -> None:
    definition = crd(OLD_REWRITES, "InferenceModelRewrite")
    definition["spec"]["scope"] = "Everywhere"
    with pytest.raises(Invalid, match=r"spec\.scope"):
        await admin.create(CRDS, definition)


async def test_a_missing_right_is_told_with_its_name(admin: Client, namespace: str) -> None:
    async with signed_in(admin, account(namespace, "nobody")) as client:
        with pytest.raises(Forbidden, match='cannot list resource "pods"'):
            await client.list(PODS, namespace)
        with pytest.raises(Forbidden, match='cannot watch resource "pods"'):
            async with client.watch(PODS, namespace, version="1"):
                pass


async def test_a_version_of_long_ago_is_gone(admin: Client, namespace: str) -> None:
    young = Resource("test.example", "v1", "youngsters")
    await install(admin, crd(young, "Youngster"))  # whose history begins here
    async with asyncio.timeout(10):
        with pytest.raises(Gone, match="too old resource version"):
            async with admin.watch(young, namespace, version="1") as events:
                async for _ in events:
                    pass


async def test_a_watch_is_ended_in_its_time(admin: Client, namespace: str) -> None:
    _, version = await admin.list(PODS, namespace)
    began = time.monotonic()
    async with admin.watch(PODS, namespace, version=version, timeout_s=1) as events:
        seen = [event.type async for event in events]

    assert set(seen) <= {"BOOKMARK"}
    assert 0.5 < time.monotonic() - began < 10


async def test_a_certificate_of_somebody_else_is_not_believed(admin: Client) -> None:
    from dataclasses import replace

    client = Client(replace(admin.access, ca=None))
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        await client.list(PODS, "default")
    client.close()


class Life:
    """A reflector of pods, and what it told."""

    def __init__(self, client: Client, namespace: str, **rest: Any) -> None:
        self.changes: list[tuple[str, bool | None]] = []
        self.states: list[str] = []
        rest.setdefault("pace", SOON)
        self.reflector = Reflector[Pod](
            client,
            PODS,
            read_pod,
            namespace=namespace,
            changed=lambda key, _, new: self.changes.append((key[1], new and new.ready)),
            log=lambda _, **fields: self.states.append(fields["state"]),
            **rest,
        )

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.reflector.store}


async def test_the_life_of_a_pod(admin: Client, namespace: str) -> None:
    life = Life(admin, namespace)
    async with running(life.reflector):
        await until(life.reflector.synced.is_set)
        await start(admin, namespace, "a", finalizers=["x.y/hold"])
        await set_ready(admin, namespace, "a", False, "10.0.0.1")
        await set_ready(admin, namespace, "a", True)
        await admin.delete(PODS, "a", namespace)  # held by its finalizer: it is terminating
        await until(lambda: life.changes[-1:] == [("a", False)] and len(life.changes) == 4)
        await admin.merge(PODS, "a", {"metadata": {"finalizers": None}}, namespace)
        await until(lambda: len(life.changes) == 5)

    assert [ready for _, ready in life.changes] == [False, False, True, False, None]
    assert life.states == ["synced"]


async def test_a_selector_of_labels_is_the_servers_work(admin: Client, namespace: str) -> None:
    await start(admin, namespace, "a")
    await start(admin, namespace, "b", labels={"app": "y"})
    life = Life(admin, namespace, labels="app=x")
    async with running(life.reflector):
        await until(life.reflector.synced.is_set)
        assert life.names == {"a"}
        await admin.merge(PODS, "b", {"metadata": {"labels": {"app": "x"}}}, namespace)
        await until(lambda: life.names == {"a", "b"})
        await admin.merge(PODS, "a", {"metadata": {"labels": {"app": "z"}}}, namespace)
        await until(lambda: life.names == {"b"})
        life.reflector.select(labels="app=z")
        await until(lambda: life.names == {"a"})


async def test_a_right_that_comes_and_goes(admin: Client, namespace: str) -> None:
    await start(admin, namespace, "a")
    async with signed_in(admin, account(namespace, "late")) as client:
        life = Life(client, namespace)
        async with running(life.reflector):
            await until(lambda: life.reflector.state == "forbidden")
            assert 'cannot list resource "pods"' in life.reflector.problem
            rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
            await allow(admin, namespace, "late", rules)
            await until(lambda: life.reflector.state == "synced")
            assert life.names == {"a"}

    assert life.states == ["forbidden", "synced"]


async def test_a_kind_that_comes_and_goes(admin: Client, namespace: str) -> None:
    states: list[str] = []
    reflector = Reflector(
        admin,
        OLD_REWRITES,
        read_rewrite,
        namespace=namespace,
        log=lambda _, **fields: states.append(fields["state"]),
        pace=SOON,
    )
    async with running(reflector):
        await until(lambda: reflector.state == "absent")
        await install(admin, crd(OLD_REWRITES, "InferenceModelRewrite"))
        await admin.create(
            OLD_REWRITES,
            {
                "apiVersion": OLD_REWRITES.api_version,
                "kind": "InferenceModelRewrite",
                "metadata": {"name": "a"},
                "spec": {"rules": [{"targets": [{"modelRewrite": "x"}]}]},
            },
            namespace,
        )
        await until(lambda: len(reflector.store) == 1)
        await until(lambda: reflector.state == "synced")
        await admin.delete(CRDS, f"{OLD_REWRITES.plural}.{OLD_REWRITES.group}")
        await until(lambda: reflector.state == "absent")

    assert not reflector.store
    assert states == ["absent", "synced", "absent"]


async def test_a_rotated_token_is_used_by_what_comes_next(
    admin: Client, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.kube.access.REREAD_S", 0.05)
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    await allow(admin, namespace, "new", rules)
    path = tmp_path / "token"
    path.write_text(account(namespace, "old"))
    async with signed_in(admin, Token(path=path)) as client:
        life = Life(client, namespace)
        async with running(life.reflector):
            await until(lambda: life.reflector.state == "forbidden")
            path.with_name("next").write_text(account(namespace, "new"))
            path.with_name("next").rename(path)
            await until(lambda: life.reflector.state == "synced")


@pytest.fixture
async def crowd(admin: Client, namespace: str) -> AsyncIterator[str]:
    """Two thousand pods."""

    async def some(first: int) -> None:
        for i in range(first, 2000, 20):
            await start(admin, namespace, f"p{i:04}", ready=False)

    await asyncio.gather(*(some(first) for first in range(20)))
    yield namespace


@pytest.mark.slow
async def test_two_thousand_pods(admin: Client, crowd: str) -> None:
    life = Life(admin, crowd, page=300)
    sizes = [len(page.items) async for page in admin.pages(PODS, crowd, limit=300)]
    async with running(life.reflector):
        await until(life.reflector.synced.is_set)
        assert len(life.names) == 2000
        await start(admin, crowd, "one-more", "10.0.0.1")
        await until(lambda: ("one-more", True) in life.changes)

    assert sizes == [300] * 6 + [200]


@contextmanager
def server(
    binary: Path, folder: Path, port: int
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A server of a test's own, that keeps its data in ``folder``."""
    config = folder / "kubeconfig"
    config.unlink(missing_ok=True)
    arguments = ["--kubeconfig", str(config), "--dir", str(folder), "--port", str(port)]
    process = subprocess.Popen(
        [str(binary), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + 60
        while not config.exists():
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.02)
        yield process, config
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(20)


@pytest.mark.slow
async def test_a_server_that_is_killed_and_comes_back_has_forgotten_versions(
    binary: Path, tmp_path: Path
) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with server(binary, tmp_path, port) as (process, config):
        client = Client(find_access(str(config)), timeout_s=5)
        await start(client, "default", "a", "10.0.0.1")
        await start(client, "default", "b", "10.0.0.2")
        pace = Pace(first_s=0.05, longest_s=0.3, refused_first_s=0.1, refused_longest_s=0.3)
        life = Life(client, "default", pace=pace)
        task = asyncio.create_task(life.reflector.run())
        await until(lambda: life.reflector.state == "synced")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        await until(lambda: life.reflector.state == "unreachable")
        assert life.names == {"a", "b"}
    with server(binary, tmp_path, port):
        other = Client(find_access(str(tmp_path / "kubeconfig")), timeout_s=5)
        await other.delete(PODS, "b", "default")
        await start(other, "default", "c", "10.0.0.3")
        async with asyncio.timeout(30):
            while life.names != {"a", "c"}:
                await asyncio.sleep(0.05)
        await until(lambda: life.reflector.state == "synced")
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        client.close()
        other.close()

    assert life.states[:2] == ["synced", "unreachable"]
    assert life.states[-1] == "synced"
