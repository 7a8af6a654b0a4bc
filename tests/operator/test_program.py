"""What a controller serves, where it looks, whom it asks, and how it is started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from tests.kube.genuine import account, install
from wayside.cli import cli
from wayside.kube.access import Token
from wayside.kube.client import Client
from wayside.operator.prober import Prober, ask
from wayside.resources import Probe
from wayside.vocab.resource import (
    CONFIG_MAPS,
    CRDS,
    LEASES,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    Resource,
)

from .conftest import Cluster, signed_in
from .toy import TOYS, crd, toy, toy_kind

WAYSIDE = str(Path(sys.executable).with_name("wayside"))
ANY = ("127.0.0.1", 0)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    return {
        (s.name, *s.labels.values()): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def test_pages(cluster: Cluster) -> None:
    """A1-88, A1-89, A3-22, A3-23: alive at once, ready when everything has been listed; metrics
    by controller-runtime's names, that increase."""
    held = True
    cluster.proxy.fault = lambda asked: 503 if held and asked.path.endswith("/toys") else ""
    program = None
    starting = cluster.operating(metrics=ANY, health=ANY, elects=True)
    opening = asyncio.create_task(starting.__aenter__())
    async with ClientSession() as session:
        try:
            await asyncio.sleep(0.3)
            assert not opening.done()
            held = False
            program = await opening
            health = f"http://127.0.0.1:{program.health_page.port}"
            metrics = f"http://127.0.0.1:{program.metrics_page.port}/metrics"
            async with session.get(f"{health}/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            async with session.get(f"{health}/readyz") as answer:
                assert answer.status == 200
            await cluster.apply(value="a")
            await cluster.converged()
            async with session.get(metrics) as answer:
                before = samples(await answer.text())
            await cluster.apply(value="b")
            await cluster.converged()
            async with session.get(metrics) as answer:
                after = samples(await answer.text())
        finally:
            await starting.__aexit__(None, None, None)
    counted = ("controller_runtime_reconcile_total", "toy", "success")
    assert after[counted] > before[counted] > 0
    assert after["rest_client_requests_total", "200", "PATCH"] > 0
    assert (
        after["workqueue_adds_total", "toy", "toy"] > before["workqueue_adds_total", "toy", "toy"]
    )
    assert after["leader_election_master_status", "toy"] == 1
    assert after["wayside_custom_resources_condition", "Toy", "False", "Ready"] == 1
    for name in (
        "controller_runtime_reconcile_errors_total",
        "controller_runtime_reconcile_time_seconds_count",
        "controller_runtime_active_workers",
        "controller_runtime_max_concurrent_reconciles",
        "workqueue_depth",
        "workqueue_queue_duration_seconds_count",
        "workqueue_work_duration_seconds_count",
        "workqueue_retries_total",
        "workqueue_longest_running_processor_seconds",
        "workqueue_unfinished_work_seconds",
    ):
        assert any(key[0] == name for key in after), name


async def test_not_ready_says_for_what_it_waits(cluster: Cluster) -> None:
    cluster.proxy.fault = lambda asked: 503 if asked.path.endswith("/deployments") else ""
    starting = cluster.operating(health=ANY)
    program_seen: list[Any] = []

    async def first() -> None:
        program_seen.append(await starting.__aenter__())

    opening = asyncio.create_task(first())
    try:
        await asyncio.sleep(0.3)
        assert not program_seen
        cluster.proxy.fault = lambda asked: ""
        await asyncio.wait_for(opening, 10)
        assert (await program_seen[0]._readyz(""))[0] == 200
    finally:
        await starting.__aexit__(None, None, None)


async def test_one_namespace_of_several(cluster: Cluster, admin: Client) -> None:
    """A3-17: toys of another namespace are nobody's; a Role in ours is enough."""
    ns, other = cluster.namespace, f"{cluster.namespace}-b"
    await admin.create(NAMESPACES, {"metadata": {"name": other}})
    rules = [
        {"apiGroups": ["toys.test"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps", "services", "events"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
    ]
    await admin.create(ROLES, {"metadata": {"name": "toys"}, "rules": rules}, ns)
    binding = {
        "metadata": {"name": "toys"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "toys"},
        "subjects": [{"kind": "ServiceAccount", "name": "toys", "namespace": ns}],
    }
    await admin.create(ROLE_BINDINGS, binding, ns)
    await admin.create(TOYS, toy(value="b"), other)
    async with signed_in(cluster, Token(account(ns, "toys"))).operating():
        await cluster.apply(value="a")
        await cluster.converged()
        assert await cluster.quiet(0.2) == []
    elsewhere = await admin.get(TOYS, "demo", other)
    assert "status" not in elsewhere
    assert not [a for a in cluster.proxy.asked if other in a.path]


async def test_our_own_crd_may_come_later(cluster: Cluster, admin: Client) -> None:
    """It is ready without it, says which command installs it, and begins when it is there."""
    late = Resource("toys.test", "v1", "latecomers")
    kind = replace(toy_kind(), resource=late, kind="Latecomer", reads=())
    async with cluster.operating(kind):

        async def waits() -> Any:
            return next((f for event, f in cluster.logged if event == "waiting for a CRD"), None)

        said = await cluster.until(waits)
        assert said["crd"] == "latecomers.toys.test" and "kubectl apply" in said["fix"]
        await install(admin, crd(late, "Latecomer"))
        await admin.create(late, {**toy(value="a"), "kind": "Latecomer"}, cluster.namespace)

        async def made() -> Any:
            return await cluster.get(CONFIG_MAPS)

        await cluster.until(made)
    await admin.delete(CRDS, "latecomers.toys.test")


# --- probes ----------------------------------------------------------------------------------


async def test_a_probe_is_asked_as_long_as_somebody_wants_it(cluster: Cluster) -> None:
    answers: list[int] = []
    status = 200

    async def handle(request: web.Request) -> web.Response:
        answers.append(status)
        return web.Response(status=status, text="x" * 100_000)

    app = web.Application()
    app.router.add_get("/health", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        async with cluster.operating() as program:
            await cluster.apply(value="a", probe=f"http://127.0.0.1:{port}/health?x=1")

            def is_(what: str) -> Any:
                async def so() -> bool:
                    return (await cluster.condition("Healthy")).get("status") == what

                return so

            await cluster.until(is_("True"))
            status = 503
            await cluster.until(is_("False"))
            assert (await cluster.condition("Healthy"))["message"] == "503"
            assert answers.count(503) >= 2, "two in a row make it ill"
            await cluster.apply(value="a")
            await cluster.converged()
            assert len(program._prober) == 0
            before = len(answers)
            await asyncio.sleep(0.4)
            assert len(answers) == before
        body = await ask(Probe(url=f"http://127.0.0.1:{port}/health", keep_body=True))
        assert body.status == 503 and len(body.body) == 64 << 10
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1/", "refused"),
        ("http://no.such.host.invalid/", ""),
        ("127.0.0.1:80", "write http://"),
        ("ftp://x/", "scheme"),
        ("http://user@x/", "user"),
        ("http://127.0.0.1:80/a b", "%20"),
    ],
)
async def test_what_cannot_be_asked_is_a_problem(url: str, why: str) -> None:
    found = await ask(Probe(url=url, timeout_s=2))
    assert found.problem and why in found.problem and found.status == 0


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": "http://127.0.0.1:1/"})

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        found = await ask(Probe(url=f"http://127.0.0.1:{port}"))
        assert (found.status, found.problem) == (302, "")
    finally:
        await runner.cleanup()


async def test_one_probe_serves_all_who_ask_for_it() -> None:
    prober = Prober(lambda who: None)
    probe = Probe(url="http://127.0.0.1:1/", period_s=60)
    prober.want(("Toy", "a", "x"), [probe])
    prober.want(("Toy", "a", "y"), [probe])
    assert len(prober) == 1
    prober.want(("Toy", "a", "x"), [])
    assert len(prober) == 1
    prober.want(("Toy", "a", "y"), [])
    assert len(prober) == 0
    await prober.stop()


# --- the command line ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "given", "env"),
    [
        (
            "router-controller",
            [],
            {
                "KUBERNETES_NAMESPACE": "{ns}",
                "METRICS_ADDR": "127.0.0.1:{metrics}",
                "HEALTH_PROBE_ADDR": "127.0.0.1:{health}",
                "LEADER_ELECTION_ENABLED": "true",
                "POD_NAMESPACE": "{ns}",
            },
        ),
        (
            "operator",
            [
                "-leader-elect=true",
                "--metrics-bind-address=127.0.0.1:{metrics}",
                "--health-probe-bind-address=127.0.0.1:{health}",
                "--watch-namespace={ns}",
                "--leader-election-namespace={ns}",
                "--zap-log-level=info",
            ],
            {},
        ),
    ],
)
async def test_the_programs_start_and_stop(
    kubeconfig: Path,
    admin: Client,
    namespace: str,
    program: str,
    given: list[str],
    env: dict[str, str],
) -> None:
    """A1-88, A3-17, A3-18, A3-19, A3-20: by Go's flags or by the environment; the Lease has the
    name that the originals' has, and is given up at the end."""
    values = {"ns": namespace, "metrics": str(_free_port()), "health": str(_free_port())}
    process = subprocess.Popen(
        [WAYSIDE, program, *(g.format(**values) for g in given)],
        env={
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            **{k: v.format(**values) for k, v in env.items()},
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    lease = "27bc728d.vllm.ai" if program == "router-controller" else ""
    lease = lease or "semantic-router-operator.vllm.ai"
    try:
        async with ClientSession() as session:
            await _answers(session, f"http://127.0.0.1:{values['health']}/readyz")
            text = await _answers(session, f"http://127.0.0.1:{values['metrics']}/metrics")
            while (f'leader_election_master_status{{name="{lease}"}} 1.0') not in text:
                await asyncio.sleep(0.1)
                text = await _answers(session, f"http://127.0.0.1:{values['metrics']}/metrics")
        assert "workqueue_depth" in text
        held = await admin.get(LEASES, lease, namespace)
        assert held["spec"]["holderIdentity"]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0
        assert process.stderr is not None
        assert '"event":"stopped"' in process.stderr.read()
        held = await admin.get(LEASES, lease, namespace)
        assert held["spec"]["holderIdentity"] == ""
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


async def _answers(session: ClientSession, url: str) -> str:
    async with asyncio.timeout(20):
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return await answer.text()
            except OSError:
                pass
            await asyncio.sleep(0.05)


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--metrics-bind-address=8080"], "write :8080"),
        (["--leader-elect=maybe"], "neither true nor false"),
        (["--watch-namespace=a,b", "--kubeconfig=x"], "several namespaces"),
        (["--metrics-secure", "--kubeconfig=x"], "not served over TLS"),
        (["--kubeconfig=/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["operator", *given])
    assert done.exit_code == 2 and said in done.output
