"""Requirement 000: the split layout, two model pods behind their Services, found by IP and by DNS.

The configuration is vLLM Semantic Router's flat format, as the requirement prints it; it goes
through the importer, and through both shells.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml
from tests.running import SHELLS, Access, Running, chat, running

from wayside.cli.app import App
from wayside.cli.files import read
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.deploy.targets.openshift_split import OpenShiftSplit
from wayside.fleet import Fleet, Resolver
from wayside.sim import Sim, SimModel, SimServer, serve_sim
from wayside.translate import translate
from wayside.vocab.errors import ConfigError

MATHS = "What is the integral of x squared from 0 to 3?"
LAW = "What is the statute of limitations for breach of contract?"


def split(address_a: str, port_a: int, address_b: str, port_b: int) -> dict[str, Any]:
    """``config-split.yaml`` once its placeholders are replaced."""
    return {
        "vllm_endpoints": [
            {"name": "model-a-endpoint", "address": address_a, "port": port_a, "weight": 1},
            {"name": "model-b-endpoint", "address": address_b, "port": port_b, "weight": 1},
        ],
        "model_config": {
            "Model-A": {"preferred_endpoints": ["model-a-endpoint"]},
            "Model-B": {"preferred_endpoints": ["model-b-endpoint"]},
        },
        "categories": [{"name": "math"}, {"name": "law"}],
        "classifier": {"category_model": {"threshold": 0.4}},
        "decisions": [
            {
                "name": name,
                "priority": 10,
                "rules": {"operator": "OR", "conditions": [{"type": "domain", "name": name}]},
                "modelRefs": [{"model": model, "use_reasoning": False}],
            }
            for name, model in (("math", "Model-A"), ("law", "Model-B"))
        ],
        "default_model": "Model-A",
    }


def translated(document: dict[str, Any]) -> dict[str, Any]:
    translation = translate(document, hint="config-split.yaml")
    assert translation is not None
    return {k: v for k, v in translation.settings.items() if k not in ("listen", "management")}


@contextlib.asynccontextmanager
async def pods(host: str = "127.0.0.1") -> AsyncIterator[list[Sim]]:
    servers = [SimServer((SimModel(name),), host=host) for name in ("Model-A", "Model-B")]
    async with serve_sim(servers) as sims:
        yield sims


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("address", "bind"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")],
    ids=["A0-27 by IPv4", "A0-28 by DNS name", "A0-31 by IPv6"],
)
async def test_the_split_layout_routes_to_the_models_own_pod(
    shell: str, address: str, bind: str
) -> None:
    """A0-37, and A0-21: name, address and port of both endpoints come from the document."""
    async with pods(bind) as (a, b):
        document = translated(split(address, a.port, address, b.port))
        async with running(shell, document) as router:
            for text, pod, other, model in ((MATHS, a, b, "Model-A"), (LAW, b, a, "Model-B")):
                a.clear()
                b.clear()
                answer = await router.ask(chat(text, "MoM"))
                assert answer.status == 200, answer.body
                assert answer.json["model"] == model
                (seen,) = pod.requests
                assert seen.header("x-selected-model") == model
                assert not other.requests


async def test_a_cluster_name_is_resolved_and_resolved_again() -> None:
    """A0-28: a Service's DNS name works, and a changed address is followed."""
    name = "vllm-model-a.vllm-semantic-router-system.svc.cluster.local"
    now = itertools.count()
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["::1"]

    servers = [SimServer((SimModel("Model-A"),), host="127.0.0.1")]
    async with serve_sim(servers) as (first,):
        moved = SimServer((SimModel("Model-A"),), host="::1", port=first.port)
        async with serve_sim([moved]) as (second,):
            text = yaml.safe_dump(split(name, first.port, name, first.port)).encode()
            app = App(read(text, "config-split.yaml", env={}), env={})
            app.fleet = Fleet(
                app.settings.models,
                resolver=Resolver(lookup=lookup, clock=lambda: float(next(now) * 60)),
            )
            app.telemetry.access = Access()
            from wayside.cli.serve import over_http

            app.settings = app.settings.model_copy(
                update={"listen": app.settings.listen.model_copy(update={"port": 0})}
            )
            async with over_http(app) as url:
                router = Running(app, url, Access())
                for _ in range(2):
                    answer = await router.ask(chat(MATHS, "MoM"))
                    assert answer.status == 200, answer.body
                    for replica in app.fleet.pools["Model-A"].replicas:
                        replica.close_idle(float("inf"))
    assert asked[:2] == [name, name]
    assert len(first.requests) == 1 and len(second.requests) == 1


@pytest.mark.parametrize("shell", SHELLS)
async def test_balancing_is_left_to_the_service(shell: str) -> None:
    """A0-16: requests at the same time take connections of their own, so both pods get some."""
    servers = [SimServer((SimModel("Model-A", ttft_s=0.1),), replica=i) for i in range(2)]
    async with serve_sim(servers) as (first, second), service([first.port, second.port]) as port:
        document = translated(split("127.0.0.1", port, "127.0.0.1", port))
        async with running(shell, document) as router:
            asked = [router.ask(chat("hello", "Model-A")) for _ in range(8)]
            for answer in await asyncio.gather(*asked):
                assert answer.status == 200, answer.body
        assert first.requests and second.requests


@contextlib.asynccontextmanager
async def service(ports: list[int]) -> AsyncIterator[int]:
    """What kube-proxy does: one address, each connection to the next pod."""
    turn = itertools.cycle(ports)
    under_way: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", next(turn))
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            for stream in (writer, far_writer):
                stream.close()
                with contextlib.suppress(OSError):
                    await stream.wait_closed()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://10.0.0.1", "protocol prefixes (http://, https://) are not supported"),
        ("10.0.0.1/v1", "paths are not supported"),
        ("10.0.0.1:8000", "port numbers in address are not supported, use 'port' field instead"),
    ],
)
def test_the_old_address_form_is_refused_with_the_documented_words(
    address: str, said: str
) -> None:
    """A0-30."""
    found = translate(split(address, 8000, "10.0.0.2", 8001), hint="config-split.yaml")
    assert found is not None
    assert any(said in note.what for note in found.notes), found.notes


def test_strict_mode_accepts_addresses_only() -> None:
    """A0-29."""
    text = yaml.safe_dump(
        {
            "strict_ip": True,
            "models": {"a": {"endpoints": ["http://vllm-model-a:8000"]}},
            "routing": {"default_model": "a"},
        }
    ).encode()
    with pytest.raises(ConfigError, match="invalid IP address format"):
        App(read(text, "strict.yaml", env={}), env={})


@pytest.mark.parametrize("shell", SHELLS)
async def test_probes_say_what_they_should(shell: str) -> None:
    """A0-34: live, ready, and why; the gRPC health service is in tests/extproc."""
    async with pods() as (a, b):
        document = translated(split("127.0.0.1", a.port, "127.0.0.1", b.port))
        async with running(shell, document) as router:
            live, ready = await router.get("/health"), await router.get("/ready")
            assert live.status == 200 and live.json == {"status": "healthy"}
            assert ready.status == 200 and ready.json["ready"] is True
            assert ready.json["config"]["error"] is None
            router.app.draining = True
            gone = await router.get("/ready")
            assert gone.status == 503 and "draining" in gone.json["message"]
            router.app.draining = False


@pytest.mark.parametrize("shell", SHELLS)
async def test_another_cluster_answers_when_this_ones_models_are_gone(shell: str) -> None:
    """A0-32: the configuration that ``wayside deploy`` makes for one of two clusters. The set's
    DNS is played: ours is one address of this machine, and the other cluster's is another."""
    servers = [SimServer((SimModel("Model-A"),), host="127.0.0.1")]
    async with serve_sim(servers) as (ours,):
        other = SimServer((SimModel("Model-A"),), host="127.0.0.2", port=ours.port)
        async with serve_sim([other]) as (theirs,):
            text = of_one_of_two_clusters(ours.port)
            name = "vllm-model-a.vllm-semantic-router-system.svc"
            assert text.count(f"{name}.cluster.local") == text.count(f"{name}.clusterset.local")
            text = text.replace(f"{name}.clusterset.local", "127.0.0.2")
            document = yaml.safe_load(text.replace(f"{name}.cluster.local", "127.0.0.1"))
            async with running(shell, document) as router:
                for _ in range(5):
                    answer = await router.ask(chat(MATHS, "Model-A"))
                    assert answer.status == 200, answer.body
                assert len(ours.requests) >= 3
                await ours.down()
                answers = [await router.ask(chat(MATHS, "Model-A")) for _ in range(12)]
                assert [a.status for a in answers[-5:]] == [200] * 5, [a.body for a in answers]
                assert len(theirs.requests) >= 5


def of_one_of_two_clusters(port: int) -> str:
    """The configuration of the eastern one."""
    model = {"run": "simulator", "service": {"name": "vllm-model-a", "port": port}}
    intent = Intent.model_validate(
        {
            "models": {"Model-A": model},
            "default_model": "Model-A",
            "clusters": [{"name": n, "context": n} for n in ("east", "west")],
        }
    )
    steps = rendered(OpenShiftSplit(), intent, Offline(None, "east"))
    objects = [o for s in steps for m in s.manifests for o in m.objects]
    (found,) = [o for o in objects if o["metadata"]["name"] == "semantic-router-config"]
    return str(found["data"]["dynamic-config.yaml"])
