"""Plan, apply, interrupt, drift and destroy, on a genuine API server.

A0-02 (twice, without a difference), A0-09, A0-33 (an autoscaler's replicas are not ours), A0-38
(exactly what was created goes, others' things and claims stay).
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wayside.cli.deploy_intent import named, parse
from wayside.deploy import Step, Wait
from wayside.deploy.applying import apply as applying
from wayside.deploy.applying import inventory, preflight, status
from wayside.deploy.applying.cluster import Cluster
from wayside.deploy.applying.destroy import Destroyed, destroy
from wayside.deploy.applying.plan import Plan, plan
from wayside.deploy.applying.scene import Live
from wayside.deploy.applying.waits import NotYet, look, wait
from wayside.deploy.intent import Intent
from wayside.kube.access import Access
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.kube.kubeconfig import find_access
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.resource import (
    AUTOSCALERS,
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    SECRETS,
    SERVICES,
    Resource,
)

TARGET = named("kubernetes").target


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    made = Cluster(find_access(str(kubeconfig)))
    yield made
    made.close()
    for _ in range(3):
        await asyncio.sleep(0)


def wanted(namespace: str, **more: Any) -> Intent:
    model = {"run": "simulator", "service": {"name": "vllm-model-a"}}
    return parse({"name": "r", "namespace": namespace, "models": {"Model-A": model}, **more})


def space() -> str:
    return f"d-{uuid.uuid4().hex[:8]}"


class Told(list[tuple[str, str]]):
    def __call__(self, what: str, about: str) -> None:
        self.append((what, about))

    def about(self, what: str) -> list[str]:
        return [about for said, about in self if said == what]


async def apply(cluster: Cluster, intent: Intent, **more: Any) -> applying.Done:
    return await applying.apply(
        TARGET,
        intent,
        cluster,
        Live(cluster),
        target_name="kubernetes",
        tell=Told(),
        waiting=False,
        **more,
    )


async def planned(cluster: Cluster, intent: Intent, **more: Any) -> Plan:
    return await plan(TARGET, intent, cluster, Live(cluster), **more)


async def gone(
    cluster: Cluster, intent: Intent, told: Told | None = None, **more: Any
) -> Destroyed | None:
    return await destroy(
        cluster,
        intent.name,
        intent.namespace,
        tell=Told() if told is None else told,
        timeout_s=2,
        **more,
    )


async def versions(admin: Client, namespace: str) -> dict[str, str]:
    found = {}
    for resource in (CONFIG_MAPS, SERVICES, DEPLOYMENTS, CLAIMS):
        for one in (await admin.list(resource, namespace))[0]:
            about = one["metadata"]
            found[f"{resource}/{about['name']}"] = about["resourceVersion"]
    return found


async def test_a_plan_writes_nothing(cluster: Cluster, admin: Client) -> None:
    intent = wanted(space())
    found = await planned(cluster, intent)
    assert found.changed and not found.blocked
    assert {each.action for each in found} == {"create"}
    with pytest.raises(NotFound):
        await admin.get(NAMESPACES, intent.namespace)


async def test_the_second_run_writes_nothing(cluster: Cluster, admin: Client) -> None:
    """A0-02: run twice, no difference; the resource versions are the same to the last object."""
    intent = wanted(space())
    first = await apply(cluster, intent)
    assert len(first.created) >= 6 and not first.unchanged
    before = await versions(admin, intent.namespace)
    again = await apply(cluster, intent)
    assert not again.created and not again.changed and len(again.unchanged) == len(first.created)
    assert await versions(admin, intent.namespace) == before
    assert not (await planned(cluster, intent)).changed


async def test_a_plan_shows_the_field_that_changes(cluster: Cluster, admin: Client) -> None:
    intent = wanted(space())
    await apply(cluster, intent)
    other = wanted(intent.namespace, router={"image": "wayside:0.2.0"})
    found = [each for each in await planned(cluster, other) if each.action == "change"]
    lines = [line for each in found for change in each.changes for line in change.lines()]
    path = "spec.template.spec.containers[semantic-router].image"
    assert f"~ {path}: wayside:0.1.0 -> wayside:0.2.0" in lines
    done = await apply(cluster, other)
    assert "Deployment " + f"{intent.namespace}/r" in done.changed


async def test_what_is_asked_for_no_longer_goes_and_claims_stay(
    cluster: Cluster, admin: Client
) -> None:
    intent = wanted(space(), router={"storage": "1Gi"})
    await apply(cluster, intent)
    both = {
        "Model-B": {"run": "simulator", "service": {"name": "vllm-model-b"}},
    }
    await apply(cluster, wanted(intent.namespace, models=both))
    with pytest.raises(NotFound):
        await admin.get(SERVICES, "vllm-model-a", intent.namespace)
    assert await admin.get(SERVICES, "vllm-model-b", intent.namespace)
    assert await admin.get(CLAIMS, "r-models", intent.namespace)


async def test_drift_is_seen_and_undone_and_anothers_field_is_a_conflict(
    cluster: Cluster, admin: Client
) -> None:
    intent = wanted(space())
    await apply(cluster, intent)
    where = intent.namespace
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "r-config"},
        "data": {"config.yaml": "models: {}\n"},
    }
    await admin.apply(CONFIG_MAPS, body, where, manager="somebody", force=True)
    found = await planned(cluster, intent)
    [conflict] = found.blocked
    assert conflict.action == "conflict" and "somebody" in conflict.why
    with pytest.raises(ConfigError, match="somebody"):
        await apply(cluster, intent)
    done = await apply(cluster, intent, force=True)
    assert done.changed == [f"ConfigMap {where}/r-config"]
    held = await admin.get(CONFIG_MAPS, "r-config", where)
    assert "vllm-model-a" in held["data"]["config.yaml"]
    await admin.delete(SERVICES, "r", where)
    assert (await apply(cluster, intent)).created == [f"Service {where}/r"]


async def test_what_is_somebody_elses_is_refused_adopted_and_never_deleted(
    cluster: Cluster, admin: Client, namespace: str
) -> None:
    body = {"metadata": {"name": "r-config"}, "data": {"mine": "1"}}
    await admin.create(CONFIG_MAPS, body, namespace)
    intent = wanted(namespace)
    with pytest.raises(ConfigError, match=r"somebody else.s.*--adopt"):
        await apply(cluster, intent)
    assert (await admin.get(CONFIG_MAPS, "r-config", namespace))["data"] == {"mine": "1"}
    await apply(cluster, intent, adopt=True)
    found = await gone(cluster, intent)
    assert found is not None
    assert (await admin.get(CONFIG_MAPS, "r-config", namespace))["data"]["mine"] == "1"
    left = {one.what: one.why for one in found.left}
    assert "taken over" in left[f"ConfigMap {namespace}/r-config"]
    about = await admin.get(NAMESPACES, namespace)
    assert "deletionTimestamp" not in about["metadata"]


async def test_destroy_takes_exactly_what_was_created(
    cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A0-38: a foreign object survives, claims stay unless asked for, and nothing else is left."""
    foreign = {"metadata": {"name": "theirs"}, "data": {}}
    await admin.create(CONFIG_MAPS, foreign, namespace)
    intent = wanted(namespace, router={"storage": "1Gi"})
    await apply(cluster, intent)
    told = Told()
    found = await gone(cluster, intent, told)
    assert found is not None and f"Deployment {namespace}/r" in found.deleted
    assert [one.what for one in found.left] == [f"PersistentVolumeClaim {namespace}/r-models"]
    order = told.about("deleted")
    assert order.index(f"Service {namespace}/r") < order.index(f"Service {namespace}/vllm-model-a")
    left = await inventory.read(cluster, "r", namespace)
    assert left is not None and [each.kind for each in left.entries] == ["PersistentVolumeClaim"]
    again = await gone(cluster, intent, with_data=True)
    assert again is not None and again.deleted == (f"PersistentVolumeClaim {namespace}/r-models",)
    for resource in (SERVICES, DEPLOYMENTS):
        assert not (await admin.list(resource, namespace))[0]
    names = {one["metadata"]["name"] for one in (await admin.list(CONFIG_MAPS, namespace))[0]}
    assert names - {"kube-root-ca.crt"} == {"theirs"}
    assert await gone(cluster, intent) is None


async def test_an_object_that_was_made_anew_is_left(
    cluster: Cluster, admin: Client, namespace: str
) -> None:
    intent = wanted(namespace)
    await apply(cluster, intent)
    body = await admin.get(SERVICES, "r", namespace)
    await admin.delete(SERVICES, "r", namespace)
    spec = {"ports": body["spec"]["ports"]}
    await admin.create(SERVICES, {"metadata": {"name": "r"}, "spec": spec}, namespace)
    [row] = [
        each
        for each in (await status.status(cluster, "r", namespace)).rows  # type: ignore[union-attr]
        if each.what == f"Service {namespace}/r"
    ]
    assert row.state == "replaced"
    found = await gone(cluster, intent)
    assert found is not None
    assert {one.what: one.why for one in found.left} == {
        f"Service {namespace}/r": "it is another object of that name, made by somebody else"
    }
    assert await admin.get(SERVICES, "r", namespace)


async def test_our_namespace_stays_while_somebody_uses_it(cluster: Cluster, admin: Client) -> None:
    intent = wanted(space())
    await apply(cluster, intent)
    await admin.create(CONFIG_MAPS, {"metadata": {"name": "theirs"}}, intent.namespace)
    found = await gone(cluster, intent)
    assert found is not None
    [left] = found.left
    assert left.what == f"Namespace {intent.namespace}" and "ConfigMap theirs" in left.why
    assert "deletionTimestamp" not in (await admin.get(NAMESPACES, intent.namespace))["metadata"]

    other = wanted(space())
    await apply(cluster, other)
    found = await gone(cluster, other)
    assert found is not None and not [one for one in found.left if "Namespace" not in one.what]
    about = await cluster.get(NAMESPACES, other.namespace)
    assert about is None or "deletionTimestamp" in about["metadata"]


@pytest.mark.parametrize("after", (1, 3, 5, 8))
async def test_an_interrupted_run_goes_on_or_is_taken_away(
    cluster: Cluster, admin: Client, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Crashed at any write: the next run ends where an undisturbed one does, and destroying
    instead leaves nothing."""
    for then in ("apply", "destroy"):
        intent = wanted(space(), router={"replicas": 2})
        count = 0
        real = Cluster.apply

        async def crashing(self: Cluster, *args: Any, **more: Any) -> Any:
            nonlocal count
            if not more.get("dry_run"):
                count += 1
                if count > after:
                    raise KeyboardInterrupt
            return await real(self, *args, **more)  # noqa: B023

        monkeypatch.setattr(Cluster, "apply", crashing)
        interrupted = False
        try:
            await apply(cluster, intent)
        except KeyboardInterrupt:
            interrupted = True
        monkeypatch.setattr(Cluster, "apply", real)
        assert interrupted
        if then == "apply":
            await apply(cluster, intent)
            assert not (await planned(cluster, intent)).changed
            continue
        known = await inventory.read(cluster, "r", intent.namespace)
        if known is None:  # nothing but the namespace itself was there
            assert not (await admin.list(SERVICES, intent.namespace))[0]
            continue
        await gone(cluster, intent)
        for resource in (SERVICES, DEPLOYMENTS):
            assert not (await admin.list(resource, intent.namespace))[0]


async def test_an_autoscaler_keeps_its_replicas(
    cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A0-33: the Deployment says no replicas under an autoscaler, and giving them up never makes
    them one."""
    await apply(cluster, wanted(namespace, router={"replicas": 3}))
    scaled = wanted(namespace, router={"autoscale": {"min": 2, "max": 9}})
    await apply(cluster, scaled)
    assert (await admin.get(DEPLOYMENTS, "r", namespace))["spec"]["replicas"] == 3
    assert (await admin.get(AUTOSCALERS, "r", namespace))["spec"]["maxReplicas"] == 9
    patch = {"spec": {"replicas": 5}}
    await admin.merge(DEPLOYMENTS, "r", patch, namespace, manager="autoscaler")
    done = await apply(cluster, scaled)
    assert not done.changed or done.changed == [f"Deployment {namespace}/r"]
    assert (await admin.get(DEPLOYMENTS, "r", namespace))["spec"]["replicas"] == 5
    assert not (await apply(cluster, scaled)).changed


async def test_a_secret_is_seen_and_never_read(
    cluster: Cluster, admin: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"secret": "openai", "key": "KEY"}
    model = {"cloud": {"url": "https://api.openai.com/v1", "key": key}}
    intent = wanted(namespace, models={"gpt": model})
    needs = TARGET.needs(intent)
    [missing] = await preflight.preflight(cluster, needs)
    assert missing.blocks and "create secret generic openai" in missing.fix
    body = {"metadata": {"name": "openai"}, "stringData": {"OTHER": "sk-very-secret"}}
    await admin.create(SECRETS, body, namespace)
    [missing] = await preflight.preflight(cluster, needs)
    assert missing.why == f"{namespace}/openai has no key KEY"
    await admin.merge(SECRETS, "openai", {"stringData": {"KEY": "sk-very-secret"}}, namespace)
    seen = []
    real = Cluster.get

    async def spied(self: Cluster, *args: Any) -> Any:
        found = await real(self, *args)
        seen.append(found)
        return found

    monkeypatch.setattr(Cluster, "get", spied)
    [met] = await preflight.preflight(cluster, needs)
    assert met.state == "met"
    told = json.dumps(seen)
    assert "data" not in seen[0] and "c2st" not in told and "sk-very" not in told


async def test_waiting_tells_what_is_missing(
    cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A wait ends when the Deployment has all its pods of the present template, and tells the
    reason of a pod that does not start."""
    await apply(cluster, wanted(namespace))
    found = await admin.get(DEPLOYMENTS, "r", namespace)
    wish = Wait(resource=DEPLOYMENTS, name="r", namespace=namespace, condition="Available",
                timeout_s=2)  # fmt: skip
    told: list[str] = []
    turns = 0

    async def sleep(_: float) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            ready = {"observedGeneration": found["metadata"]["generation"], "replicas": 1,
                     "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}  # fmt: skip
            await admin.merge(DEPLOYMENTS, "r", {"status": ready}, namespace, sub="status")

    await wait(cluster, wish, told.append, sleep=sleep)
    assert turns == 1 and told == ["is not looked at yet"]

    async def nothing(_: float) -> None:
        return

    absent = Wait(resource=SERVICES, name="none", namespace=namespace, path="spec.clusterIP",
                  timeout_s=2)  # fmt: skip
    with pytest.raises(NotYet, match=r"services none.*is not there yet.*run the same"):
        await wait(cluster, absent, told.append, sleep=nothing)


def test_a_condition_of_an_older_version_does_not_count() -> None:
    said = {"type": "Ready", "status": "True", "observedGeneration": 1}
    found = {"metadata": {"generation": 2}, "status": {"conditions": [said]}}
    wish = Wait(resource=SERVICES, name="x", condition="Ready")
    assert look(found, wish)[0] is False
    assert look({**found, "metadata": {"generation": 1}}, wish)[0] is True


async def test_a_setting_that_nobody_asks_for_is_refused(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ConfigError, match="--set domian"):
        await plan(TARGET, wanted(namespace), cluster, Live(cluster, {"domian": "x"}))


async def test_a_step_may_look_at_what_an_earlier_one_made(
    cluster: Cluster, namespace: str
) -> None:
    """A later step sees the address that the cluster gave a Service (A0-05, A0-06); a plan, before
    there is one, says that it cannot know."""
    seen: list[str] = []

    class Looking:
        def problems(self, intent: Intent) -> tuple[()]:
            return ()

        needs = checks = problems

        def steps(self, intent: Intent, scene: Any) -> Any:
            every = list(TARGET.steps(intent, scene))
            yield Step(title="models", manifests=every[1].manifests)
            found = scene.get(SERVICES, "vllm-model-a", intent.namespace)
            if found is None:
                raise ConfigError.one("has no address yet", where="Service vllm-model-a")
            seen.append(found["spec"]["clusterIP"])
            yield Step(title="router", manifests=every[2].manifests)

    intent = wanted(namespace)
    target: Any = Looking()
    made = await plan(target, intent, cluster, Live(cluster))
    assert "has no address yet" in made.pending and made.changed
    await applying.apply(
        target, intent, cluster, Live(cluster), target_name="x", tell=Told(), waiting=False
    )
    assert seen and seen[-1].count(".") == 3


# --- somebody else at the same time --------------------------------------------------------------


class Beaten(Cluster):
    """Somebody else makes (or makes anew) an object right before we write it."""

    def __init__(self, access: Access, admin: Client, kind: str, *, anew: bool = False) -> None:
        super().__init__(access)
        self._admin, self._kind, self._anew = admin, kind, anew

    async def apply(self, resource: Resource, body: Any, **how: Any) -> Any:
        name, namespace = body["metadata"]["name"], body["metadata"].get("namespace")
        if not how.get("dry_run") and body["kind"] == self._kind:
            self._kind = ""
            if self._anew:
                await self._admin.delete(resource, name, namespace)
            theirs = {**body, "metadata": {"name": name, "namespace": namespace}}
            await self._admin.create(resource, theirs, namespace)
        return await super().apply(resource, body, **how)


@pytest.mark.parametrize("kind", ["Service", "Deployment"])
async def test_what_appears_meanwhile_is_not_taken_over(
    cluster: Cluster, admin: Client, kubeconfig: Path, kind: str
) -> None:
    intent = wanted(space())
    beaten = Beaten(find_access(str(kubeconfig)), admin, kind)
    with pytest.raises(ConfigError, match=rf"{kind} .*meanwhile.*run the same command again"):
        await apply(beaten, intent, force=True)
    beaten.close()
    resource = SERVICES if kind == "Service" else DEPLOYMENTS
    [theirs] = (await admin.list(resource, intent.namespace))[0]
    assert "labels" not in theirs["metadata"], "it was taken over"
    found = await gone(cluster, intent)
    assert found is not None
    assert [left.why for left in found.left if left.what.startswith(kind)] == [
        "its label says that it is ours no longer"
    ]
    assert (await admin.list(resource, intent.namespace))[0]


async def test_what_is_made_anew_meanwhile_is_not_changed(
    cluster: Cluster, admin: Client, kubeconfig: Path
) -> None:
    intent = wanted(space())
    await apply(cluster, intent)
    other = wanted(intent.namespace, router={"image": "wayside:0.2.0"})
    beaten = Beaten(find_access(str(kubeconfig)), admin, "Deployment", anew=True)
    with pytest.raises((ConfigError, AskFailed)):
        await apply(beaten, other, force=True)
    beaten.close()


async def test_two_runs_at_once_do_not_lose_what_the_other_created(
    cluster: Cluster, admin: Client
) -> None:
    """The second to write the inventory ends, with what to do; nothing is forgotten."""
    intent = wanted(space())
    await apply(cluster, intent)
    stale = await inventory.read(cluster, "r", intent.namespace)
    assert stale is not None
    await inventory.write(cluster, replace(stale, target="another"))
    with pytest.raises(AskFailed, match=r"somebody else is at work on .*run the same command"):
        await inventory.write(cluster, stale)
    never = inventory.Inventory("r", intent.namespace)
    with pytest.raises(AskFailed, match="somebody else is at work"):
        await inventory.write(cluster, never)


@pytest.mark.parametrize(
    "held",
    [
        "{", "[]", "null", "{}", '{"format": 2, "target": "", "objects": []}',
        '{"format": 1, "target": "", "objects": [1]}',
        '{"format": 1, "target": "", "objects": [{"api_version": 1, "kind": 2, "name": 3}]}',
        '{"format": 1, "target": "", "objects": [{"api_version": "v1", "kind": "", "name": ""}]}',
    ],
)  # fmt: skip
async def test_an_inventory_of_no_use_is_told_and_nothing_is_deleted(
    cluster: Cluster, admin: Client, held: str
) -> None:
    body = inventory.body(inventory.Inventory("r", "default"))
    body["metadata"]["name"] = name = f"wayside-deployment-{space()}"
    await admin.create(CONFIG_MAPS, {**body, "data": {"inventory.json": held}}, "default")
    with pytest.raises(ConfigError, match=f"ConfigMap default/{name}: .*; "):
        await destroy(cluster, name.removeprefix("wayside-deployment-"), "default", tell=Told())
    await admin.delete(CONFIG_MAPS, name, "default")
