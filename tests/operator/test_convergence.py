"""What shall be comes about, stays, and costs nothing once it is there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from tests.operator.toy import FINALIZER, MANAGER, RELICS, TOYS, crd, deployment, toy_kind
from wayside.kube.client import Object
from wayside.resources import FOR
from wayside.vocab.resource import CONFIG_MAPS, CRDS, DEPLOYMENTS, EVENTS, SERVICES

from .conftest import Cluster


async def test_it_comes_about_and_a_second_pass_writes_nothing(cluster: Cluster) -> None:
    """A1-83, A1-85, A1-82: three children and a status are four writes, and then none, also after
    a restart, though the server writes quantities otherwise than it is sent."""
    async with cluster.operating():
        await cluster.apply(value="a", service=True)
        found = await cluster.converged()
        assert found["status"]["value"] == "a"
        assert await cluster.quiet() == []
        assert len(cluster.proxy.writes()) == 4, cluster.proxy.writes()
        for resource in (CONFIG_MAPS, DEPLOYMENTS, SERVICES):
            made = await cluster.get(resource)
            assert made is not None
            [owner] = made["metadata"]["ownerReferences"]
            assert owner["uid"] == found["metadata"]["uid"] and owner["controller"] is True
    before = len(cluster.proxy.asked)
    async with cluster.operating():
        assert await cluster.quiet() == []
    assert {a.method for a in cluster.proxy.asked[before:]} == {"GET"}, "not even an Event"


async def test_a_changed_field_is_written_and_one_left_out_is_gone(cluster: Cluster) -> None:
    async with cluster.operating():
        await cluster.apply(value="a", data={"more": "x"})
        await cluster.converged()
        await cluster.apply(value="b")
        await cluster.converged()
        made = await cluster.get(CONFIG_MAPS)
        assert made is not None and made["data"] == {"value": "b"}
        assert await cluster.quiet() == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that is not a container, and not empty."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for i, part in enumerate(value):
            yield from leaves(part, (*path, i))
    elif value not in ({}, [], None):
        yield path


async def test_every_field_that_is_ours_is_repaired_and_others_are_not(cluster: Cluster) -> None:
    """A1-72: what we applied comes back, field by field; what we left out is somebody else's."""
    fixed = ("selector", "name", "containerPort", "protocol", "mountPath", "kind", "app")
    async with cluster.operating():
        await cluster.apply(value="a")
        await cluster.converged()
        paths = [
            path
            for path in leaves({"spec": deployment("demo", {"value": "a"})["spec"]})
            if not set(path) & set(fixed)
        ]
        assert len(paths) >= 10
        for path in paths:
            before = await cluster.get(DEPLOYMENTS)
            assert before is not None
            changed = copy.deepcopy(before)
            at: Any = changed
            for step in path[:-1]:
                at = at[step]
            old = at.get(path[-1])
            at[path[-1]] = other(old)
            after = await cluster.admin.replace(DEPLOYMENTS, changed, cluster.namespace)
            assert after["metadata"]["generation"] > before["metadata"]["generation"], path
            spec = before["spec"]

            async def back(spec: Object = spec) -> bool:
                now = await cluster.get(DEPLOYMENTS)
                return now is not None and now["spec"] == spec

            await cluster.until(back)
        grown = {"metadata": {"labels": {"theirs": "x"}}, "spec": {"minReadySeconds": 7}}
        await cluster.admin.merge(DEPLOYMENTS, "demo", grown, cluster.namespace)
        assert await cluster.quiet() == []
        left = await cluster.get(DEPLOYMENTS)
        assert left is not None and left["spec"]["minReadySeconds"] == 7


def other(value: Any) -> Any:
    if value is None or isinstance(value, bool):  # one that is false is not kept
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [*value, "more"]
    if value in ("1", "1Gi"):
        return "2" if value == "1" else "2Gi"
    return f"{value}x" if value else "x"


async def test_every_child_that_is_deleted_comes_back(cluster: Cluster) -> None:
    async with cluster.operating():
        await cluster.apply(value="a", service=True)
        await cluster.converged()
        for resource in (CONFIG_MAPS, DEPLOYMENTS, SERVICES):
            await cluster.admin.delete(resource, "demo", cluster.namespace)

            async def back(resource: Any = resource) -> Any:
                return await cluster.get(resource)

            await cluster.until(back)


async def test_what_is_no_longer_wanted_is_deleted_and_nothing_else(cluster: Cluster) -> None:
    """A1-74: only what the object owns, and only of kinds that it may own."""
    async with cluster.operating():
        await cluster.apply(value="a", service=True)
        await cluster.converged()
        theirs = {"metadata": {"name": "theirs"}, "spec": {"ports": [{"port": 1}]}}
        await cluster.admin.create(SERVICES, theirs, cluster.namespace)
        await cluster.apply(value="a")

        async def gone() -> bool:
            return await cluster.get(SERVICES) is None

        await cluster.until(gone)
        assert await cluster.get(SERVICES, "theirs")
        assert await cluster.quiet() == []


async def test_somebody_elses_object_of_that_name_is_left_alone(cluster: Cluster) -> None:
    theirs = {"metadata": {"name": "demo"}, "data": {"mine": "yes"}}
    await cluster.admin.create(CONFIG_MAPS, theirs, cluster.namespace)
    async with cluster.operating():
        await cluster.apply(value="a")
        await cluster.converged()
        found = await cluster.condition("Degraded")
        assert found["reason"] == "NameTaken" and "ConfigMap demo" in found["message"]
        assert await cluster.quiet() == []
        left = await cluster.get(CONFIG_MAPS)
        assert left is not None and left["data"] == {"mine": "yes"}
        await cluster.admin.delete(CONFIG_MAPS, "demo", cluster.namespace)

        async def ours() -> bool:
            return not await cluster.condition("Degraded")

        await cluster.until(ours)
        made = await cluster.get(CONFIG_MAPS)
        assert made is not None and made["data"] == {"value": "a"}


async def test_one_that_came_before_the_watch_told_is_not_taken_over(cluster: Cluster) -> None:
    """A copy that lags behind says that there is none; the server knows better."""
    late: list[str] = []

    def frozen(asked: Any) -> Any:
        if asked.watch and asked.path.endswith("/configmaps"):
            late.append(asked.path)
            return "dead"
        return ""

    cluster.proxy.fault = frozen
    async with cluster.operating():
        await cluster.until(_true_when(late))
        theirs = {"metadata": {"name": "demo"}, "data": {"mine": "yes"}}
        await cluster.admin.create(CONFIG_MAPS, theirs, cluster.namespace)
        await cluster.apply(value="a")

        async def told() -> bool:
            return (await cluster.condition("Degraded")).get("reason") == "NameTaken"

        await cluster.until(told)
        left = await cluster.get(CONFIG_MAPS)
        assert left is not None and left["data"] == {"mine": "yes"}


def _true_when(things: list[Any]) -> Any:
    async def there() -> bool:
        return bool(things)

    return there


async def test_what_outlives_the_object_is_for_its_namesake(cluster: Cluster) -> None:
    async with cluster.operating():
        first = await cluster.apply(value="a", keep="relic")
        await cluster.converged()
        kept = await cluster.get(CONFIG_MAPS, "relic")
        assert kept is not None and "ownerReferences" not in kept["metadata"]
        assert kept["metadata"]["annotations"][FOR] == first["metadata"]["uid"]
        await cluster.apply(value="a")
        assert (await cluster.quiet(0.3)) == [] or await cluster.get(CONFIG_MAPS, "relic")
        await cluster.admin.delete(TOYS, "demo", cluster.namespace)

        async def gone() -> bool:
            left = [await cluster.get(r) for r in (DEPLOYMENTS, CONFIG_MAPS)]
            return not any(left)

        await cluster.until(gone)
        second = await cluster.apply(value="a", keep="relic")
        await cluster.converged()
        kept = await cluster.get(CONFIG_MAPS, "relic")
        assert kept is not None
        assert kept["metadata"]["annotations"][FOR] == second["metadata"]["uid"]
        assert not await cluster.condition("Degraded")


async def test_what_cannot_be_changed_is_told_and_not_tried_for_ever(cluster: Cluster) -> None:
    async with cluster.operating():
        await cluster.apply(value="a")
        await cluster.converged()
        await cluster.apply(value="a", selector="other", again=0.1)
        await cluster.converged()
        found = await cluster.condition("Degraded")
        assert found["reason"] == "Invalid" and "immutable" in found["message"]
        before = len(cluster.proxy.writes())
        assert await cluster.quiet(1.0) == []
        assert before < 12
        await cluster.apply(value="a")

        async def well() -> bool:
            return not await cluster.condition("Degraded")

        await cluster.until(well)


async def test_a_finalizer_waits_for_an_operator_that_was_down(cluster: Cluster) -> None:
    """A1-86: deleted while nobody looks, and finished when somebody does."""
    kind = toy_kind(FINALIZER)
    async with cluster.operating(kind):
        await cluster.apply(value="a", keep="relic")
        found = await cluster.converged()
        assert found["metadata"]["finalizers"] == [FINALIZER]
    await cluster.admin.delete(TOYS, "demo", cluster.namespace)
    found = await cluster.admin.get(TOYS, "demo", cluster.namespace)
    assert found["metadata"]["deletionTimestamp"]
    assert await cluster.get(CONFIG_MAPS, "relic")
    async with cluster.operating(kind):

        async def gone() -> bool:
            return await cluster.get(TOYS) is None

        await cluster.until(gone)
        assert await cluster.get(CONFIG_MAPS, "relic") is None
        assert await cluster.quiet() == []


async def test_what_was_missing_is_found_when_it_appears(cluster: Cluster) -> None:
    async with cluster.operating():
        await cluster.apply(value="a", ref="later")
        assert (await cluster.converged())["status"]["seen"] == "missing"
        body: Object = {"metadata": {"name": "later"}, "data": {"x": "one"}}
        await cluster.admin.create(CONFIG_MAPS, body, cluster.namespace)
        await cluster.until(_seen(cluster, "one"))
        await cluster.admin.merge(CONFIG_MAPS, "later", {"data": {"x": "two"}}, cluster.namespace)
        await cluster.until(_seen(cluster, "two"))
        await cluster.admin.delete(CONFIG_MAPS, "later", cluster.namespace)
        await cluster.until(_seen(cluster, "missing"))


def _seen(cluster: Cluster, what: Any, field: str = "seen") -> Any:
    async def so() -> bool:
        return bool((await cluster.status()).get(field) == what)

    return so


async def test_a_kind_may_come_and_go(cluster: Cluster) -> None:
    """Its CRD is absent, then there, then absent again; nobody is asked to restart."""
    async with cluster.operating():
        await cluster.apply(value="a", relics=True)
        await cluster.converged()
        await cluster.until(_seen(cluster, "absent", "relics"))
        await cluster.admin.create(CRDS, crd(RELICS, "Relic"))
        await cluster.until(_seen(cluster, "synced", "relics"))
        body: Object = {"apiVersion": "toys.test/v1", "kind": "Relic", "metadata": {"name": "r"}}
        await cluster.admin.create(RELICS, body, cluster.namespace)
        await cluster.until(_seen(cluster, ["r"], "found"))
        await cluster.admin.delete(CRDS, "relics.toys.test")
        await cluster.until(_seen(cluster, "absent", "relics"))
        await cluster.until(_seen(cluster, [], "found"))


async def test_a_condition_moves_only_when_its_status_does(cluster: Cluster) -> None:
    """A1-80, A1-81: the message may change, the transition time stays."""
    async with cluster.operating():
        await cluster.apply(value="a")
        await cluster.converged()
        first = await cluster.condition("Ready")
        assert first["status"] == "False" and first["observedGeneration"] == 1
        long_ago = "2020-01-01T00:00:00Z"
        found = await cluster.admin.get(TOYS, "demo", cluster.namespace)
        found["status"]["conditions"][0]["lastTransitionTime"] = long_ago
        await cluster.admin.replace(TOYS, found, cluster.namespace, sub="status")
        await cluster.apply(value="b")
        await cluster.converged()
        second = await cluster.condition("Ready")
        assert second["lastTransitionTime"] == long_ago and second["observedGeneration"] == 2
        ready = {"status": {"readyReplicas": 1, "replicas": 1}}
        await cluster.admin.merge(DEPLOYMENTS, "demo", ready, cluster.namespace, sub="status")

        async def is_ready() -> bool:
            return (await cluster.condition("Ready"))["status"] == "True"

        await cluster.until(is_ready)
        third = await cluster.condition("Ready")
        assert third["lastTransitionTime"] > "2026"


async def test_events_tell_what_was_done_once(cluster: Cluster) -> None:
    """A1-77, A1-78: of children and of conditions; the same again is counted."""

    async def events() -> dict[str, Object]:
        found, _ = await cluster.admin.list(EVENTS, cluster.namespace)
        return {e["reason"]: e for e in found if e["involvedObject"]["kind"] == "Toy"}

    async with cluster.operating():
        await cluster.apply(value="a")
        await cluster.converged()

        async def told() -> bool:
            return {"Created", "Pending"} <= set(await events())

        await cluster.until(told)
        created = (await events())["Created"]
        assert created["message"] == "Created ConfigMap demo, Deployment demo"
        assert created["source"] == {"component": MANAGER}
        for times in (1, 2):
            await cluster.admin.delete(CONFIG_MAPS, "demo", cluster.namespace)

            async def again(times: int = times) -> bool:
                found = [
                    e
                    for e in (await cluster.admin.list(EVENTS, cluster.namespace))[0]
                    if e["message"] == "Created ConfigMap demo"
                ]
                return bool(found) and found[0]["count"] == times and len(found) == 1

            await cluster.until(again)
