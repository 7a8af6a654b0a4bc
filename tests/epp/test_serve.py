"""The three ports: TLS, health under every name, metrics, and leaving in good order."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from wayside.epp.certificates import Certificates
from wayside.epp.health import HealthServer
from wayside.epp.self_signed import pair
from wayside.epp.serve import Epp
from wayside.epp.sources import File, seats
from wayside.epp.store import Seat, Store
from wayside.extproc import wire
from wayside.vocab.errors import ConfigError

from . import proto
from .rig import HEAD, HERMETIC, channel, destination, exchange, host_port, serving

pytest.importorskip("grpc")

SERVING, NOT_SERVING, UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
BODY = b'{"model":"m","prompt":"x"}'
NAMES = ["", "inference-extension", "envoy.service.ext_proc.v3.ExternalProcessor", "liveness",
         "readiness", "anything"]  # fmt: skip


def asking(service: str) -> bytes:
    return wire.field(1, service.encode()) if service else b""


async def check(epp: Epp, service: str) -> bytes:
    async with channel(epp, port=epp.health.port) as found:
        answer = await found.unary_unary("/grpc.health.v1.Health/Check")(asking(service))
    assert isinstance(answer, bytes)
    return answer


@pytest.mark.parametrize("service", NAMES)
async def test_any_service_name_is_answered_once_the_pool_is_known(service: str) -> None:
    async with serving([(0, 0.1)]) as epp:
        assert await check(epp, service) == SERVING
        epp.store.synced = False
        assert await check(epp, service) == NOT_SERVING


@pytest.mark.parametrize("service", NAMES)
def test_with_leader_election_names_have_meanings(service: str) -> None:
    leads = False
    server = HealthServer(lambda: True, lambda: leads)
    first = b"".join(server.health(asking(service)))[5:]
    leads = True
    second = b"".join(server.health(asking(service)))[5:]
    if service == "liveness":
        assert (first, second) == (SERVING, SERVING)
    elif service == "anything":
        assert (first, second) == (UNKNOWN, UNKNOWN)
    else:
        assert (first, second) == (NOT_SERVING, SERVING)


async def test_who_watches_health_hears_of_changes() -> None:
    async with serving([(0, 0.1)]) as epp:
        async with channel(epp, port=epp.health.port) as found:
            call = found.unary_stream("/grpc.health.v1.Health/Watch")(asking("x"))
            assert await call.read() == SERVING
            epp.store.synced = False
            assert await asyncio.wait_for(call.read(), 5) == NOT_SERVING
            call.cancel()


async def test_the_health_port_serves_nothing_else() -> None:
    import grpc

    async with serving([(0, 0.1)]) as epp:
        async with channel(epp, port=epp.health.port) as found:
            call = found.stream_stream("/envoy.service.ext_proc.v3.ExternalProcessor/Process")()
            with pytest.raises(grpc.aio.AioRpcError):
                await call.write(proto.request_headers({"a": "b"}, last=True))
                await call.read()
                await call.done_writing()
                raise grpc.aio.AioRpcError(await call.code(), None, None)


async def test_draining_says_so_and_serves_on_meanwhile() -> None:
    async with serving([(0, 0.1)], drain_s=6.0) as epp:
        async with channel(epp) as found:
            call = found.stream_stream("/envoy.service.ext_proc.v3.ExternalProcessor/Process")()
            await call.write(proto.request_headers({":path": "/"}))
            async with asyncio.timeout(5):
                while not any(c.http.streams for c in epp.server.connections):
                    await asyncio.sleep(0.01)
            stopping = asyncio.create_task(epp.stop())
            await asyncio.sleep(0.05)
            assert await check(epp, "inference-extension") == NOT_SERVING
            late = await exchange(
                epp,
                [proto.request_headers({":path": "/"}), proto.request_body(BODY)],
                replies=2,
            )
            assert destination(late) == host_port(0), "until the gateway has heard of it"
            await call.write(proto.request_body(BODY))
            heard = [proto.reply(await call.read()) for _ in range(2)]
            assert destination(heard) == host_port(0), "a request under way is finished"
            call.cancel()
        await asyncio.wait_for(stopping, 10)


async def test_plaintext_where_that_is_wanted() -> None:
    said = [proto.request_headers({":path": "/"}), proto.request_body(BODY)]
    async with serving([(0, 0.1)], secure=False) as epp:
        assert destination(await exchange(epp, said, replies=2)) == host_port(0)


def put(folder: Path, names: tuple[str, ...]) -> None:
    certificate, key = pair(names)
    (folder / "tls.crt").write_text(certificate)
    (folder / "tls.key").write_text(key)


async def test_a_certificate_of_a_folder_is_served_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.epp.certificates.LOOK_S", 0.01)
    put(tmp_path, ("localhost", "one.example"))
    async with serving([(0, 0.1)], cert_path=tmp_path, reload_certs=True) as epp:
        where = ("127.0.0.1", epp.server.port)
        first = await asyncio.to_thread(ssl.get_server_certificate, where)
        put(tmp_path, ("localhost", "two.example"))
        async with asyncio.timeout(10):
            while await asyncio.to_thread(ssl.get_server_certificate, where) == first:
                await asyncio.sleep(0.02)
        said = [proto.request_headers({":path": "/"}), proto.request_body(BODY)]
        assert destination(await exchange(epp, said, replies=2)) == host_port(0)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_believes_our_certificate(tmp_path: Path) -> None:
    put(tmp_path, ("localhost",))
    command = ["openssl", "verify", "-CAfile", tmp_path / "tls.crt", tmp_path / "tls.crt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_certificate_that_cannot_be_used_is_named_without_its_key(tmp_path: Path) -> None:
    put(tmp_path, ("localhost",))
    (tmp_path / "tls.key").write_text(pair(("other",))[1])
    with pytest.raises(ConfigError) as caught:
        Certificates(tmp_path, log=lambda *a, **k: None)
    assert str(tmp_path) in str(caught.value) and "BEGIN" not in str(caught.value)
    with pytest.raises(ConfigError, match="mount the Secret"):
        Certificates(tmp_path / "nowhere", log=lambda *a, **k: None)


async def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close"]
    lines += [f"{k}: {v}" for k, v in headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_metrics_have_their_names_of_today_and_those_of_dashboards() -> None:
    said = [proto.request_headers({":path": "/"}), proto.request_body(BODY)]
    async with serving([(3, 0.2), (0, 0.1)]) as epp:
        await exchange(epp, said, replies=2)
        status, text = await get(epp.exposed.port, "/metrics")
        assert (await get(epp.exposed.port, "/other"))[0] == 404
        assert (await get(epp.exposed.port, "/metrics", "POST"))[0] == 405
        assert await get(epp.exposed.port, "/healthz") == (200, "ok")
    assert status == 200
    for name in (
        "llm_d_epp_request_total", "inference_objective_request_total",
        "llm_d_epp_request_duration_seconds", "inference_objective_request_duration_seconds",
        "llm_d_epp_request_input_tokens", "inference_objective_input_tokens",
        "inference_objective_output_tokens", "llm_d_epp_average_kv_cache_utilization",
        "inference_pool_average_kv_cache_utilization", "inference_pool_average_queue_size",
        "inference_pool_ready_pods", "llm_d_epp_ready_endpoints",
        "inference_extension_scheduler_e2e_duration_seconds", "llm_d_epp_scheduler_attempts_total",
        "llm_d_epp_info", "llm_d_epp_request_running", "llm_d_epp_disagg_decision_total",
    ):  # fmt: skip
        assert f"# TYPE {name}" in text or f"# TYPE {name}_total" in text, name
    assert 'inference_pool_average_queue_size{name=""} 1.5' in text


async def test_names_that_clients_make_up_do_not_fill_memory() -> None:
    from .rig import Bench

    bench = Bench()
    for i in range(1200):
        talk, _ = bench.ask(b'{"model":"model-%d","prompt":"x"}' % i)
        talk.session.close()
    models = {labels[0] for labels in bench.metrics.requests.values}
    assert len(models) == 1001 and "other" in models
    assert sum(bench.metrics.requests.values.values()) == 1200
    assert len(bench.metrics.running) <= 1001


async def test_who_may_read_metrics_is_asked_of_the_cluster() -> None:
    from wayside.epp.reviews import Reviews

    asked: list[dict[str, Any]] = []

    class Server:
        async def create(self, resource: Any, body: dict[str, Any]) -> dict[str, Any]:
            asked.append(body)
            if body["kind"] == "TokenReview":
                good = body["spec"]["token"] in ("good", "poor")
                return {
                    "status": {"authenticated": good, "user": {"username": body["spec"]["token"]}}
                }
            return {"status": {"allowed": body["spec"]["user"] == "good"}}

    clock = [0.0]
    reviews = Reviews(Server(), lambda: clock[0])  # type: ignore[arg-type]
    assert await reviews.allow("") == 401
    assert await reviews.allow("Basic good") == 401
    assert await reviews.allow("Bearer bad") == 401
    assert await reviews.allow("Bearer poor") == 403
    assert await reviews.allow("Bearer good") == 200
    assert asked[-1]["spec"]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
    count = len(asked)
    assert await reviews.allow("bearer good") == 200 and len(asked) == count
    clock[0] = 61.0
    assert await reviews.allow("Bearer good") == 200 and len(asked) == count + 2


# --- where endpoints come from -----------------------------------------------------------------


def test_endpoints_of_the_command_line() -> None:
    found = seats(["127.0.0.1:8001", "[::1]:8002", "localhost:8003"], "--endpoints")
    assert [s.host_port for s in found][:2] == ["127.0.0.1:8001", "[::1]:8002"]
    assert found[2].host_port in ("127.0.0.1:8003", "[::1]:8003")
    with pytest.raises(ConfigError, match=r"--endpoints\[0\]"):
        seats(["127.0.0.1:x"], "--endpoints")


async def test_endpoints_of_a_file_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.epp.sources.LOOK_S", 0.01)
    path = tmp_path / "endpoints.yaml"

    def put(*hosts: str) -> None:
        entries = [{"name": h, "address": h, "port": 8000, "labels": {"a": 1}} for h in hosts]
        path.with_suffix(".new").write_text(json.dumps({"endpoints": entries}))
        path.with_suffix(".new").replace(path)

    store, said = Store(), []
    put("10.0.0.1", "10.0.0.2")
    file = File(store, path, lambda event, **fields: said.append(fields))
    kept = store.roster.endpoints[1]
    assert kept.host_port == "10.0.0.2:8000" and kept.labels == {"a": "1"}
    task = asyncio.create_task(file.run())
    put("10.0.0.2", "10.0.0.3")
    async with asyncio.timeout(5):
        while len(store.roster.positions) != 2 or store.roster.endpoints[0] is not kept:
            await asyncio.sleep(0.01)
        path.write_text("endpoints: [{address: some.name:80}]")
        while not said:
            await asyncio.sleep(0.01)
    task.cancel()
    assert len(store.roster) == 2, "a file that cannot be read leaves those of before"
    assert "IP address" in said[0]["why"]


def test_an_endpoint_that_stays_keeps_what_is_known_of_it() -> None:
    store, gone = Store(), []
    store.on_gone.append(gone.append)
    store.seat([Seat("a", "10.0.0.1:80"), Seat("b", "10.0.0.2:80")])
    first = store.roster.endpoints[0]
    first.in_flight = 3
    store.seat([Seat("a", "10.0.0.1:80", {"new": "label"}), Seat("b", "10.0.0.9:80")])
    assert store.roster.endpoints[0] is first and first.labels == {"new": "label"}
    assert [e.host_port for e in gone] == ["10.0.0.2:80"], "another address is another server"


async def test_a_picker_without_a_cluster_cannot_ask_it_who_may_read_metrics() -> None:
    with pytest.raises(ConfigError, match="metrics-endpoint-auth=false"):
        async with serving([(0, 0.1)], metrics_auth=True):
            pass


async def test_a_picker_without_a_cluster_cannot_be_elected() -> None:
    with pytest.raises(ConfigError, match="ha-enable-leader-election=false"):
        async with serving([(0, 0.1)], elects=True):
            pass


async def test_servers_metrics_are_read_and_go_into_the_choice() -> None:
    from wayside.sim import SimModel, SimServer, serve_sim

    config = HERMETIC.replace("injectDefaults: false", "injectDefaults: true")
    async with serve_sim([SimServer((SimModel("m"),))]) as (sim,):
        where = sim.url.removeprefix("http://")
        async with serving([], config, scrape_s=0.02) as epp:
            epp.store.seat([Seat("default/sim", where)])
            async with asyncio.timeout(10):
                while epp.store.roster.endpoints[0].vitals.at < 0:
                    await asyncio.sleep(0.01)


def test_the_examples_head_is_todays() -> None:
    assert HEAD in HERMETIC
