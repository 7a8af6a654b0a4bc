"""Crashes, refusals, lost answers, broken watches: the state converges, and nothing is undone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import ApiServer, serving
from tests.kube.genuine import account, install
from tests.operator.toy import FINALIZER, TOYS, crd, toy, toy_kind
from wayside.kube.access import Token
from wayside.kube.client import Client
from wayside.kube.errors import KubeError
from wayside.kube.kubeconfig import find_access
from wayside.kube.lease import Terms
from wayside.vocab.resource import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
)

from .conftest import Cluster, signed_in
from .proxy import Asked, Fault, proxying


@pytest.mark.parametrize("fault", ["dead", "lost"])
async def test_a_crash_between_any_two_writes_costs_nothing(
    cluster: Cluster, fault: Fault
) -> None:
    """The nth write is the last of a process, for every n, done or not; another one finishes, and
    writes each thing once."""
    kind = toy_kind(FINALIZER)
    for last in range(1, 6):  # finalizer, three children, status
        name, count = f"toy-{last}", 0
        crashed = asyncio.Event()

        def crash(asked: Asked, last: int = last, crashed: asyncio.Event = crashed) -> Fault:
            nonlocal count
            count += asked.writes
            if count < last or (count == last and fault == "lost" and crashed.is_set()):
                return ""
            if asked.writes and count >= last:
                done = fault if count == last else "dead"
                crashed.set()
                return done
            return ""

        cluster.proxy.fault = crash
        async with cluster.operating(kind):
            await cluster.apply(name, value="a", service=True)
            await asyncio.wait_for(crashed.wait(), 10)
        cluster.proxy.fault = lambda asked: ""
        before = len(cluster.proxy.writes())
        async with cluster.operating(kind):
            await cluster.converged(name)
            assert await cluster.get(SERVICES, name)
            assert await cluster.quiet(0.15) == []
        left = 5 - last + (1 if fault == "dead" else 0)
        assert len(cluster.proxy.writes()) - before == left, (
            last,
            cluster.proxy.writes()[before:],
        )


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_refusals_are_waited_out(cluster: Cluster, status: int) -> None:
    """A1-105: a storm of conflicts, an overloaded server, a failing one."""
    refused = 0

    def storm(asked: Asked) -> Fault:
        nonlocal refused
        if asked.writes and refused < 8:
            refused += 1
            return status
        return ""

    cluster.proxy.fault = storm
    async with cluster.operating():
        if status in (429, 500, 503):  # they are waited out longer and longer
            refused = 6
        await cluster.apply(value="a")
        await cluster.converged()
        assert refused == 8
        assert not await cluster.condition("Degraded")
        assert await cluster.quiet(0.2) == []


async def test_broken_watches_lose_nothing(cluster: Cluster) -> None:
    """A1-105: cut in the middle, refused, told that the version is too old (410)."""
    async with cluster.operating():
        await cluster.apply(value="0")
        await cluster.converged()
        for n, status in enumerate((410, 500, 503, 429), 1):
            left = [6]

            def break_(asked: Asked, status: int = status, left: list[int] = left) -> Fault:
                if asked.watch and left[0]:
                    left[0] -= 1
                    return status
                return ""

            cluster.proxy.fault = break_
            cluster.proxy.cut()
            await cluster.apply(value=str(n))
            await cluster.admin.delete(CONFIG_MAPS, "demo", cluster.namespace)

            async def there(n: int = n) -> bool:
                made = await cluster.get(CONFIG_MAPS)
                return made is not None and made["data"]["value"] == str(n)

            await cluster.until(there)
        await cluster.converged()


async def test_a_keeper_with_a_bug_costs_its_object_only(cluster: Cluster) -> None:
    async with cluster.operating():
        await cluster.apply("bad", explode=True)
        await cluster.apply("good", value="a")
        await cluster.converged("good")
        assert any("a bug in a keeper" in str(fields.get("why")) for _, fields in cluster.logged)
        await cluster.apply("bad", value="a")
        await cluster.converged("bad")


async def test_objects_that_come_and_go_quickly(cluster: Cluster) -> None:
    """Deleted and made again under the same name: the children of the old one are not the new
    one's, and are replaced by its own."""
    async with cluster.operating():
        for n in range(5):
            await cluster.apply(value=str(n))
            await asyncio.sleep(0.02 * n)
            await cluster.admin.delete(TOYS, "demo", cluster.namespace)
        last = await cluster.apply(value="last")

        async def settled() -> bool:
            made = await cluster.get(CONFIG_MAPS)
            uid = last["metadata"]["uid"]
            return (
                made is not None
                and made["data"]["value"] == "last"
                and made["metadata"]["ownerReferences"][0]["uid"] == uid
                and await cluster.get(DEPLOYMENTS) is not None
                and not await cluster.condition("Degraded")
            )

        await cluster.until(settled)
        assert await cluster.quiet(0.2) == []


async def test_a_frozen_server_and_one_that_starts_again(tmp_path: Path) -> None:
    """A1-105: SIGSTOP for a while, then kill -9 and a start with the same data."""
    port = _free_port()
    options = ("--dir", str(tmp_path / "data"), "--port", str(port))
    with serving(tmp_path, *options) as server:
        admin = Client(find_access(str(server.kubeconfig)), timeout_s=5)
        await install(admin, crd())
        await admin.create(NAMESPACES, {"metadata": {"name": "ns"}})
        async with proxying(admin.access) as proxy:
            cluster = Cluster(admin, proxy, "ns", [])
            async with cluster.operating():
                await cluster.apply(value="a")
                await cluster.converged()
                assert server.process is not None
                server.process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(0.5)
                server.process.send_signal(signal.SIGCONT)
                await cluster.apply(value="b")
                await cluster.converged()
                await _restart(server)
                await cluster.until(_answers(cluster))
                await cluster.apply(value="c")

                async def told() -> bool:
                    made = await cluster.get(CONFIG_MAPS)
                    return made is not None and made["data"]["value"] == "c"

                await cluster.until(told)
                await cluster.converged()
                assert await cluster.quiet(0.3) == []
        admin.close()


async def _restart(server: ApiServer) -> None:
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    await asyncio.to_thread(server.start)


def _answers(cluster: Cluster) -> Any:
    async def ready() -> bool:
        try:
            await cluster.admin.get(TOYS, "demo", "ns")
        except KubeError:
            return False
        return True

    return ready


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_without_a_right_it_says_so_and_goes_on_when_it_comes(cluster: Cluster) -> None:
    """A1-104: a service account that may not write Deployments, nor Events."""
    ns = cluster.namespace
    some = [
        {"apiGroups": ["toys.test"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]},
    ]
    role = {"metadata": {"name": "toys"}, "rules": some}
    await cluster.admin.create(ROLES, role, ns)
    binding = {
        "metadata": {"name": "toys"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "toys"},
        "subjects": [{"kind": "ServiceAccount", "name": "toys", "namespace": ns}],
    }
    await cluster.admin.create(ROLE_BINDINGS, binding, ns)
    limited = signed_in(cluster, Token(account(ns, "toys")))
    async with limited.operating():
        await cluster.apply(value="a", again=0.2)

        async def told() -> bool:
            return (await cluster.condition("Degraded")).get("reason") == "Forbidden"

        await cluster.until(told)
        assert await cluster.get(CONFIG_MAPS)
        assert [e for e, f in cluster.logged if e == "events not written"]
        some[2]["verbs"] = ["*"]
        await cluster.admin.merge(ROLES, "toys", {"rules": some}, ns)
        await cluster.apply(value="b", again=0.2)  # what is another one is tried at once
        await cluster.converged()

        async def well() -> bool:
            return not await cluster.condition("Degraded")

        await cluster.until(well)


async def test_two_leaders_and_one_is_killed(cluster: Cluster, kubeconfig: Path) -> None:
    """A1-87, A3-20: two processes stand for a Lease; kill -9 of the one that leads, and the other
    one goes on within the Lease's time."""
    ns = cluster.namespace
    first, second = (_process(kubeconfig, ns) for _ in range(2))
    try:
        await cluster.apply(value="a")
        await cluster.converged()
        lease = await cluster.admin.get(LEASES, "toy", ns)
        holder = lease["spec"]["holderIdentity"]
        leader, other = (first, second) if _identity(first) == holder else (second, first)
        assert holder == _identity(leader) != _identity(other)
        leader.send_signal(signal.SIGKILL)
        leader.wait()
        await cluster.apply(value="b")
        await cluster.converged()
        lease = await cluster.admin.get(LEASES, "toy", ns)
        assert lease["spec"]["holderIdentity"] == _identity(other)
        assert lease["spec"]["leaseTransitions"] == 1
        other.send_signal(signal.SIGTERM)
        assert other.wait(10) is not None
    finally:
        for process in (first, second):
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _process(kubeconfig: Path, namespace: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.operator.standing", str(kubeconfig), namespace],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "src:."},
    )
    assert process.stdout is not None
    process.identity = json.loads(process.stdout.readline())  # type: ignore[attr-defined]
    return process


def _identity(process: subprocess.Popen[str]) -> str:
    return str(process.identity)  # type: ignore[attr-defined]


async def test_who_leads_no_more_writes_no_more(cluster: Cluster) -> None:
    """A write that was about to go out when the Lease ran out does not."""
    terms = Terms(lease_s=2, renew_s=0.8, retry_s=0.2)
    async with cluster.operating(elects=True, terms=terms) as program:
        await cluster.apply(value="a")
        await cluster.converged()
        assert program.leads
        cluster.proxy.fault = lambda asked: "dead" if "/leases" in asked.path else ""
        await asyncio.sleep(1.2)
        assert not program.leads
        await cluster.apply(value="b")
        assert await cluster.quiet(0.5) == []
        with pytest.raises(Exception, match="does not lead"):
            await program._writer.create(TOYS, toy("late"), cluster.namespace)
        cluster.proxy.fault = lambda asked: ""
        await cluster.converged()
