"""A pool as its picker sees it: under the Role of the manifests that we replace, and others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml

from tests.cluster import SHARED
from wayside.kube.client import Client
from wayside.kube.inference import GROUP, OBJECTIVES, OLD_GROUP, OLD_OBJECTIVES, POOLS, REWRITES
from wayside.kube.pool import PoolWatch
from wayside.vocab.errors import ConfigError
from wayside.vocab.inference import PoolSpec
from wayside.vocab.resource import CRDS, PODS, Resource

from .fake import FakeApi
from .genuine import POOL_READ, account, allow, crd, install, running, set_ready, signed_in, start
from .test_watch import SOON, until

POOL = {"selector": {"matchLabels": {"app": "x"}}, "targetPorts": [{"number": 8000}]}
PODS_PATH, POOL_PATH = PODS.path("ns"), POOLS[GROUP].path("ns")


def names(watch: PoolWatch) -> list[str]:
    return [place.name for place in watch.places]


async def put_pod(api: FakeApi, name: str, ip: str = "10.0.0.1", **labels: str) -> None:
    await api.put(
        PODS_PATH,
        name,
        metadata={"labels": labels or {"app": "x"}},
        status={"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]},
    )


@asynccontextmanager
async def watching(api: FakeApi, **rest: Any) -> AsyncIterator[tuple[PoolWatch, list[int]]]:
    client = api.client()
    told: list[int] = []
    watch = PoolWatch(
        client, "p", "ns", changed=lambda: told.append(len(watch.places)), pace=SOON, **rest
    )
    async with running(watch):
        yield watch, told
    client.close()


async def test_changes_that_come_together_are_told_once(api: FakeApi) -> None:
    await api.put(POOL_PATH, "p", spec=POOL, apiVersion=f"{GROUP}/v1")
    for i in range(50):
        await put_pod(api, f"a{i:02}", f"10.0.0.{i}")
    async with watching(api) as (watch, told):
        await until(lambda: watch.synced)
        await until(lambda: told[-1:] == [50])

        assert told == [0, 50]  # the pool, then its pods
        assert watch.places is watch.places
        assert watch.places[7].host_port == "10.0.0.7:8000"


async def test_without_a_pool_nobodys_pods_are_asked_for(api: FakeApi) -> None:
    api.objects[POOL_PATH] = {}
    await put_pod(api, "a")
    async with watching(api) as (watch, _):
        await until(
            lambda: watch.states["inferencepools.v1.inference.networking.k8s.io"] == "synced"
        )
        assert (watch.synced, watch.places, api.count("list", PODS_PATH)) == (False, (), 0)
        await api.put(POOL_PATH, "p", spec=POOL)
        await until(lambda: names(watch) == ["a-rank-0"])
        await api.remove(POOL_PATH, "p")
        await until(lambda: names(watch) == [])
        assert not watch.synced


async def test_a_pool_that_selects_nothing_has_no_pods(api: FakeApi) -> None:
    await api.put(POOL_PATH, "p", spec={"selector": {}, "targetPorts": [{"number": 8000}]})
    await put_pod(api, "a")
    async with watching(api) as (watch, _):
        await until(lambda: watch.synced)

        asked = {a.query.get("labelSelector") for a in api.asked if a.path == PODS_PATH}
        assert asked == {"wayside/nobody,!wayside/nobody"}
        assert watch.places == ()


async def test_a_pool_that_nobody_describes(api: FakeApi) -> None:
    await put_pod(api, "a")
    fixed = PoolSpec(name="p", namespace="ns", group="", selector=(("app", "x"),), ports=(1, 2))
    async with watching(api, fixed=fixed) as (watch, _):
        await until(lambda: watch.synced)

        assert names(watch) == ["a-rank-0", "a-rank-1"]
        assert api.count("list", POOL_PATH) == 0


async def test_what_a_pool_selects_may_change(api: FakeApi) -> None:
    await api.put(POOL_PATH, "p", spec=POOL)
    await put_pod(api, "a")
    await put_pod(api, "b", app="y")
    async with watching(api) as (watch, _):
        await until(lambda: names(watch) == ["a-rank-0"])
        two = {
            "selector": {"matchLabels": {"app": "y"}},
            "targetPorts": [{"number": 9}, {"number": 8}],
        }
        await api.put(POOL_PATH, "p", spec=two)
        await until(lambda: names(watch) == ["b-rank-0", "b-rank-1"])

        assert [place.port for place in watch.places] == [9, 8]
        asked = [a.query.get("labelSelector") for a in api.asked if a.path == PODS_PATH]
        assert asked[-1] == "app=y"


async def test_while_its_pods_cannot_be_listed_a_relabelled_pool_is_what_it_was(
    api: FakeApi,
) -> None:
    await api.put(POOL_PATH, "p", spec=POOL)
    await put_pod(api, "a")
    async with watching(api) as (watch, _):
        await until(lambda: names(watch) == ["a-rank-0"])
        api.refusals[PODS_PATH, "list"] = (503, "ServiceUnavailable", {})
        other = {"selector": {"matchLabels": {"app": "y"}}, "targetPorts": [{"number": 9}]}
        await api.put(POOL_PATH, "p", spec=other)
        await until(lambda: watch.states["pods"] == "unreachable")
        assert names(watch) == ["a-rank-0"]
        await put_pod(api, "b", app="y")
        api.refusals.clear()
        await until(lambda: names(watch) == ["b-rank-0"])


async def test_a_pool_that_is_made_again_has_its_pods(api: FakeApi) -> None:
    await api.put(POOL_PATH, "p", spec=POOL)
    await put_pod(api, "a")
    async with watching(api) as (watch, _):
        await until(lambda: names(watch) == ["a-rank-0"])
        await api.remove(POOL_PATH, "p")
        await until(lambda: names(watch) == [])
        await api.put(POOL_PATH, "p", spec=POOL)
        await until(lambda: names(watch) == ["a-rank-0"])


def test_a_group_without_pools_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"use one of: inference\.networking\.k8s\.io"):
        PoolWatch(None, "p", "ns", group="llm-d.ai")  # type: ignore[arg-type]


@pytest.fixture
async def pools(admin: Client) -> None:
    """The upstream CRD of InferencePool v1, and stand-ins for what is not at hand."""
    path = SHARED / "data" / "crds" / "inference.networking.k8s.io_inferencepools.yaml"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    await install(admin, yaml.safe_load(path.read_text()))
    await install(admin, crd(OLD_OBJECTIVES, "InferenceObjective"))
    await install(admin, crd(POOLS[OLD_GROUP], "InferencePool"))


def labelled(resource: Resource, kind: str, name: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def made_pool(name: str = "p") -> dict[str, Any]:
    picker = {"name": "epp", "port": {"number": 9002}}
    return labelled(POOLS[GROUP], "InferencePool", name, {**POOL, "endpointPickerRef": picker})


@pytest.mark.shared
@pytest.mark.usefixtures("pools")
async def test_under_the_role_of_the_manifests(admin: Client, namespace: str) -> None:
    """Forbidden to read ``llm-d.ai`` and rewrites: it starts, and uses what it may read."""
    await admin.create(POOLS[GROUP], made_pool(), namespace)
    await allow(admin, namespace, "epp", POOL_READ)
    objective = {"priority": 5, "poolRef": {"name": "p"}}
    await admin.create(
        OLD_OBJECTIVES,
        labelled(OLD_OBJECTIVES, "InferenceObjective", "urgent", objective),
        namespace,
    )
    lines: list[tuple[str, str]] = []
    async with signed_in(admin, account(namespace, "epp")) as client:
        watch = PoolWatch(
            client,
            "p",
            namespace,
            pace=SOON,
            log=lambda _, **fields: lines.append((fields["resource"], fields["state"])),
        )
        async with running(watch):
            await until(lambda: watch.synced)
            assert watch.places == ()
            await start(admin, namespace, "a", "10.0.0.1")
            await start(admin, namespace, "b", "10.0.0.2", ready=False)
            await start(admin, namespace, "c", "10.0.0.3", labels={"app": "other"})
            await until(lambda: names(watch) == ["a-rank-0"])
            await set_ready(admin, namespace, "b", True)
            await until(lambda: names(watch) == ["a-rank-0", "b-rank-0"])
            await admin.delete(PODS, "a", namespace)
            await until(lambda: names(watch) == ["b-rank-0"])

            found = watch.objective("urgent")
            assert found is not None
            assert found.priority == 5
            assert watch.objective("other") is None
            assert watch.rewrites.find("m") is None
            assert watch.states == {
                "pods": "synced",
                "inferencepools.v1.inference.networking.k8s.io": "synced",
                "inferenceobjectives.v1alpha2.inference.networking.x-k8s.io": "synced",
                "inferenceobjectives.v1alpha2.llm-d.ai": "forbidden",
                "inferencemodelrewrites.v1alpha2.inference.networking.x-k8s.io": "forbidden",
                "inferencemodelrewrites.v1alpha2.llm-d.ai": "forbidden",
            }
            tried = time.monotonic()
            await until(lambda: time.monotonic() > tried + 0.3)  # several more tries

    assert len(lines) == len(set(lines)) == 6


@pytest.mark.shared
@pytest.mark.usefixtures("pools")
async def test_new_resources_appear_win_and_vanish(admin: Client, namespace: str) -> None:
    await admin.create(POOLS[GROUP], made_pool(), namespace)
    old = {"priority": 1, "poolRef": {"name": "p"}}
    await admin.create(
        OLD_OBJECTIVES, labelled(OLD_OBJECTIVES, "InferenceObjective", "o", old), namespace
    )
    watch = PoolWatch(admin, "p", namespace, pace=SOON)

    def priority() -> int | None:
        found = watch.objective("o")
        return found and found.priority

    def target(model: str) -> str | None:
        found = watch.rewrites.find(model)
        return found and found[0].target(0.0)

    async with running(watch):
        await until(lambda: watch.synced)
        assert (priority(), target("m")) == (1, None)
        await install(admin, crd(OBJECTIVES, "InferenceObjective"))
        await install(admin, crd(REWRITES, "InferenceModelRewrite"))
        for name, pool in (("o", "p"), ("other", "q")):
            spec = {"priority": 2, "poolRef": {"name": pool}}
            body = labelled(OBJECTIVES, "InferenceObjective", name, spec)
            await admin.create(OBJECTIVES, body, namespace)
        for name, matches, model in (
            ("all", [], "general"),
            ("one", [{"model": {"value": "m"}}], "special"),
        ):
            rules = [{"matches": matches, "targets": [{"modelRewrite": model}]}]
            spec = {"poolRef": {"name": "p"}, "rules": rules}
            await admin.create(
                REWRITES, labelled(REWRITES, "InferenceModelRewrite", name, spec), namespace
            )
        await until(lambda: (priority(), target("m"), target("n")) == (2, "special", "general"))
        assert watch.objective("other") is None
        await admin.delete(REWRITES, "one", namespace)
        await until(lambda: target("m") == "general")
        for resource in (OBJECTIVES, REWRITES):
            await admin.delete(CRDS, f"{resource.plural}.{resource.group}")
        await until(lambda: (priority(), target("m")) == (1, None))
        await until(lambda: watch.states[str(REWRITES)] == "absent")
        assert watch.synced


@pytest.mark.shared
@pytest.mark.usefixtures("pools")
async def test_a_pool_of_the_old_group(admin: Client, namespace: str) -> None:
    resource = POOLS[OLD_GROUP]
    spec = {"selector": {"app": "x"}, "targetPortNumber": 8000, "extensionRef": {"name": "epp"}}
    await admin.create(resource, labelled(resource, "InferencePool", "p", spec), namespace)
    await admin.create(resource, labelled(resource, "InferencePool", "q", spec), namespace)
    await start(admin, namespace, "a", "10.0.0.1")
    watch = PoolWatch(admin, "p", namespace, group=OLD_GROUP, pace=SOON)
    async with running(watch):
        await until(lambda: names(watch) == ["a-rank-0"])

        assert watch.pool is not None
        assert (watch.pool.name, watch.pool.group) == ("p", OLD_GROUP)


@pytest.mark.shared
@pytest.mark.usefixtures("pools")
async def test_a_pool_grows_and_empties(admin: Client, namespace: str) -> None:
    await admin.create(POOLS[GROUP], made_pool(), namespace)
    watch = PoolWatch(admin, "p", namespace, pace=SOON)
    async with running(watch):
        await until(lambda: watch.synced)
        await asyncio.gather(
            *(start(admin, namespace, f"p{i:03}", f"10.0.1.{i}") for i in range(200))
        )
        await until(lambda: len(watch.places) == 200)
        await asyncio.gather(*(admin.delete(PODS, f"p{i:03}", namespace) for i in range(200)))
        await until(lambda: watch.places == ())
