"""Fault 39: the process with as little as a hardened pod gives it, and less.

A random user id, a root that cannot be written, no ``/tmp`` and no home, ``::1`` alone, 256 MiB,
64 descriptors, a full disk, a taken port, an end under load.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.hardening.jail import Jail, Jailed, jail, needs_jail, running
from tests.hardening.programs import Model, model, program, written
from tests.running import chat
from tests.stores import redis_rig

MIB = 256
"""What a pod of the router is given."""


ASKED = {
    "any": ["domain:maths", "keyword:urgent", "language:de", "jailbreak:attack", "pii:private"],
}


@pytest.fixture
def box() -> Iterator[Jail]:
    with jail() as made:
        yield made


def configured(box: Jail, document: dict[str, Any]) -> str:
    path = box.folder / "wayside.yaml"
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o644)
    return str(path)


@contextlib.asynccontextmanager
async def upstream(box: Jail, delay_s: float = 0.0, events: int = 5) -> AsyncIterator[Model]:
    """A model server in there."""
    made = Model(delay_s, events)
    where = box.listening()
    server = await asyncio.start_server(made._serve, sock=where)
    made._server, made.port = server, where.getsockname()[1]
    try:
        yield made
    finally:
        await made.stop()


def routed(port: int, **more: Any) -> dict[str, Any]:
    """Signals of the built-in models, which are what memory is spent on."""
    return {
        "models": {"small": {"endpoints": [f"http://[::1]:{port}"]}},
        "routing": {
            "signals": {
                "domain": {"maths": {"labels": ["math"]}},
                "keyword": {"urgent": {"keywords": ["now"]}},
                "language": {"de": {"languages": ["de"]}},
                "jailbreak": {"attack": {}},
                "pii": {"private": {}},
            },
            "decisions": [{"name": "read", "when": ASKED, "models": ["small"]}],
            "default_model": "small",
        },
        **more,
    }


@needs_jail
async def test_as_a_random_user_with_nothing_to_write_to_and_ipv6_alone(box: Jail) -> None:
    """Every listener and every upstream at ``::1``: clients, management, metrics, the model's
    server, Redis; in less than 256 MiB with the default configuration, while requests run; then
    SIGTERM, and exit status 0."""
    redis = redis_rig.plain()
    at, listen, manage, metrics = (box.free_port() for _ in range(4))
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(upstream(box))
        document: dict[str, Any] = {
            "listen": {"address": "::1", "port": listen},
            "management": {"address": "::1", "port": manage},
            "identity": {"trusted": True},
            **routed(server.port),
        }
        if redis is not None:
            told = ("--port", str(at), "--bind", "::1", "--save", "", "--daemonize", "no")
            store = box.start(redis, *told, log="redis")
            await stack.enter_async_context(running(store))
            document["stores"] = {"shared": {"redis": {"url": f"redis://[::1]:{at}/0"}}}
            kept = {"mode": "exact", "store": "shared", "ttl_s": 60}
            document["routing"]["decisions"][0]["plugins"] = {"response_cache": kept}
        path = configured(box, document)
        router = box.wayside("serve", "--config", path, "--metrics-address", f"[::1]:{metrics}")
        await stack.enter_async_context(running(router))
        await router.says('"serving"')
        async with box.session() as session:
            url = f"http://[::1]:{listen}/v1/chat/completions"

            async def ask(text: str, **more: Any) -> tuple[int, bytes, str]:
                who = {"x-authz-user-id": "somebody"}
                body = chat(text, **more)
                async with session.post(url, json=body, headers=who) as answer:
                    cached = answer.headers.get("x-vsr-cache-hit", "")
                    return answer.status, await answer.read(), cached

            for lot in range(10):
                said = [ask(f"{lot} {i} What is the derivative of x?") for i in range(20)]
                assert {status for status, _, _ in await asyncio.gather(*said)} == {200}
            status, body, _ = await ask("hello", stream=True)
            assert (status, body.endswith(b"data: [DONE]\n\n")) == (200, True)
            if redis is not None:
                async with asyncio.timeout(10):
                    while not (await ask("What is the derivative of x, now?"))[2]:
                        await asyncio.sleep(0.05)
            for page in (f"{manage}/info/models", f"{metrics}/metrics", f"{manage}/docs"):
                async with session.get(f"http://[::1]:{page}") as got:
                    assert got.status == 200
        assert router.memory_mib() < MIB, f"{router.memory_mib()} MiB"
        assert await router.stop() == 0
        assert '"level":"error"' not in router.text
        assert "Traceback" not in router.text


@needs_jail
@pytest.mark.parametrize("option", ["--workers=2", "--envoy"])
async def test_what_needs_a_folder_says_so(box: Jail, option: str) -> None:
    """Without ``/tmp``: which setting, and what to do; no traceback, and not exit status 0."""
    path = configured(
        box, {"listen": {"address": "::1", "port": 0}, "management": {"enabled": False}}
        | routed(9)
    )  # fmt: skip
    async with running(box.wayside("serve", "--config", path, option)) as router:
        assert await router.ends() != 0
        assert "TMPDIR" in router.text
        assert "Traceback" not in router.text


@needs_jail
async def test_out_of_descriptors_it_recovers(box: Jail) -> None:
    """64 descriptors and a hundred idle clients: those that have a connection are served, and
    when others leave, everybody is."""
    listen = box.free_port()
    async with upstream(box) as server:
        document = {
            "listen": {"address": "::1", "port": listen},
            "management": {"enabled": False},
            **routed(server.port),
        }
        path = configured(box, document)
        jailed = box.wayside("serve", "--config", path, limits=("--nofile=64:64",))
        async with running(jailed) as router:
            await router.says('"serving"')
            idle: list[socket.socket] = []
            for _ in range(100):
                made = box.inside(lambda: socket.socket(socket.AF_INET6))
                made.settimeout(5)
                made.connect(("::1", listen))
                idle.append(made)
            await asyncio.sleep(0.5)
            assert router.process.poll() is None
            for one in idle:
                one.close()
            async with box.session() as session:
                async with asyncio.timeout(15):
                    while True:
                        with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                            url = f"http://[::1]:{listen}/v1/chat/completions"
                            patience = aiohttp.ClientTimeout(total=2)
                            body = chat("hi", "small")
                            async with session.post(url, json=body, timeout=patience) as answer:
                                if answer.status == 200:
                                    break
                        await asyncio.sleep(0.1)
            assert await router.stop() == 0


async def test_a_full_disk_costs_lines_and_no_request(tmp_path: Path) -> None:
    """ENOSPC for the request log (``/dev/full``): requests are answered, and it ends well."""
    async with model() as server:
        document = {
            "log": {"format": "json", "access": "/dev/full"},
            "models": {"m": {"endpoints": [f"http://127.0.0.1:{server.port}"]}},
        }
        config = written(tmp_path, document)
        async with program(tmp_path, "serve", "--config", str(config)) as router:
            url = await router.url()
            async with aiohttp.ClientSession() as session:
                for _ in range(2):
                    for _ in range(20):
                        sent = session.post(f"{url}/v1/chat/completions", json=chat("hi", "m"))
                        async with sent as answer:
                            assert answer.status == 200
                    await asyncio.sleep(0.5)  # lines are written every 0.2 s
            assert await router.stop() == 0
            assert "Traceback" not in router.text


@pytest.mark.parametrize("listener", ["listen", "metrics"])
async def test_a_taken_port_is_told_with_its_setting(tmp_path: Path, listener: str) -> None:
    """A clear message, and exit status 2, as for every configuration that cannot be used."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        document: dict[str, Any] = {"models": {"m": {"endpoints": ["http://127.0.0.1:9"]}}}
        more = []
        if listener == "metrics":
            more = ["--metrics-address", f"127.0.0.1:{port}"]
        else:
            document[listener] = {"port": port}
        config = written(tmp_path, document)
        async with program(tmp_path, "serve", "--config", str(config), *more) as router:
            assert await asyncio.wait_for(router.process.wait(), 30) == 2
            assert f"cannot listen on 127.0.0.1:{port}" in router.text
            setting = "--metrics-address" if listener == "metrics" else f"{listener}.port"
            assert setting in router.text
            assert "Traceback" not in router.text


async def test_an_end_under_load_breaks_no_answer_and_a_start_takes_seconds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """SIGTERM while streams run: they end as they should, nobody new is let in, exit status 0.
    SIGKILL: what comes next is served as soon as it listens."""
    async with model(delay_s=0.02, events=40) as server:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        document = {
            "listen": {"port": port},
            "models": {"m": {"endpoints": [f"http://127.0.0.1:{server.port}"]}},
        }
        config = written(tmp_path, document)
        url = f"http://127.0.0.1:{port}/v1/chat/completions"

        async def stream(session: aiohttp.ClientSession) -> bytes:
            body = json.dumps(chat("hi", "m", stream=True))
            async with session.post(url, data=body) as answer:
                assert answer.status == 200
                return await answer.read()

        async with program(tmp_path, "serve", "--config", str(config)) as router:
            await router.url()
            async with aiohttp.ClientSession() as session:
                streams = [asyncio.create_task(stream(session)) for _ in range(50)]
                async with asyncio.timeout(10):
                    while server.asked < 50:
                        await asyncio.sleep(0.01)
                router.process.send_signal(signal.SIGTERM)
                await router.event("draining")
                with pytest.raises(aiohttp.ClientError):
                    await stream(session)
                assert all([one.endswith(b"[DONE]\n\n") for one in await asyncio.gather(*streams)])
            assert await asyncio.wait_for(router.process.wait(), 20) == 0

        began = time.monotonic()
        started = program(tmp_path, "serve", "--config", str(config), name="again")
        async with started as router, aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    assert b"[DONE]" in await stream(session)
                    break
                await asyncio.sleep(0.01)
            took_s = time.monotonic() - began
            router.process.kill()
            await router.process.wait()
        record_property("start_to_first_answer_s", round(took_s, 2))
        # Fault 39 says 3 s; a stream of 0.8 s is in it, and the machine is shared by several.
        assert took_s < 3 * 4 + 0.8


@needs_jail
async def test_the_endpoint_picker_with_its_own_certificate_and_the_controllers(box: Jail) -> None:
    """``epp`` signs a certificate for itself where nothing can be written; the operator says what
    it lacks, which is a cluster, and nothing of folders."""
    async with running(box.wayside("operator", log="operator")) as operator:
        assert await operator.ends() != 0
        assert "Traceback" not in operator.text
        assert "temporary" not in operator.text
    made = box.start(
        *_python("from wayside.epp.self_signed import context; print(context())"), log="signed"
    )
    assert await made.ends() == 0, made.text


def _python(code: str) -> tuple[str, ...]:
    import sys

    return sys.executable, "-c", code


@needs_jail
def test_the_jail_is_one(box: Jail) -> None:
    """What is shown above is worth as much as this."""
    script = (
        "for f in / /tmp /var/tmp /dev/shm $HOME; do (: >$f/x) 2>/dev/null && echo $f; done;"
        "id -u; getent passwd $(id -u) || echo nobody; ip -4 addr"
    )
    jailed: Jailed = box.start("sh", "-c", script)
    assert asyncio.run(jailed.ends()) == 0
    assert jailed.text.split() == ["1000730000", "nobody"]
