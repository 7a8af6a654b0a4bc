"""TLS where it is served: the data plane, management and metrics of a real process, Envoy's
listener, and mutual TLS between an Envoy and the router of another pod, by a real Envoy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from tests.extproc.stand_ins import ModelServer, door, envoy
from tests.hardening.authority import Authority, Mount
from tests.hardening.programs import model, program, written
from tests.running import chat, running
from wayside.cli.doctor import command as doctor_command
from wayside.cli.envoy import command as envoy_command
from wayside.cli.exposed import exposed
from wayside.cli.extproc import command as extproc_command
from wayside.envoy import pod
from wayside.envoy.bootstrap import bootstrap, secrets
from wayside.extproc.framed import FramedServer
from wayside.net import x509
from wayside.net.tls import ServerTls
from wayside.settings import RouterSettings
from wayside.settings.address import parse_address
from wayside.vocab.errors import ConfigError

from .test_tls_files import Log, rule


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ws-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def serial_at(port: int, asks: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=asks, server_hostname="localhost"
    )
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.transport.abort()
    return str(found)


async def eventually(holds: Callable[[], Any], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not await holds():
            await asyncio.sleep(0.05)


async def test_every_listener_of_a_router_serves_tls_and_follows_its_files(
    folder: Path, authority: Authority
) -> None:
    """The data plane to everybody, management to those with a certificate, metrics to Prometheus;
    a renewal while streams run breaks none of them; a bad one is refused and told."""
    clients = Authority()
    mount = Mount(folder / "tls")
    mount.put(**authority.pair("localhost"), ca_crt=clients.pem)
    tls = {"cert_file": mount.path("tls.crt"), "key_file": mount.path("tls.key")}
    metrics_port = free_port()
    async with model(delay_s=0.05, events=50) as server:
        config = written(
            folder,
            {
                "listen": {"port": 0, "tls": tls},
                "management": {
                    "port": 0,
                    "tls": {**tls, "client_ca_file": mount.path("ca.crt")},
                    "metrics_tls": tls,
                },
                "models": {"m": {"endpoints": [f"http://127.0.0.1:{server.port}"]}},
            },
        )
        more = ("--metrics-address", f"127.0.0.1:{metrics_port}")
        async with program(folder, "serve", "--config", str(config), *more) as router:
            url, management = await router.url(), await router.url("management")
            assert url.startswith("https://")
            assert management.startswith("https://")
            port, at = int(url.rpartition(":")[2]), int(management.rpartition(":")[2])
            url = f"https://localhost:{port}"
            asks = authority.trusting()
            known = authority.trusting()
            clients.ca.issue_cert("admin").configure_cert(known)
            async with aiohttp.ClientSession() as session:
                body = json.dumps(chat("hi", "m", stream=True))

                async def stream() -> bytes:
                    sent = session.post(f"{url}/v1/chat/completions", data=body, ssl=asks)
                    async with sent as answer:
                        assert answer.status == 200
                        return await answer.read()

                streams = [asyncio.create_task(stream()) for _ in range(5)]
                async with session.get(f"https://localhost:{at}/info/models", ssl=known) as got:
                    assert got.status == 200
                with pytest.raises((aiohttp.ClientError, OSError)):
                    async with session.get(f"https://localhost:{at}/health", ssl=asks) as got:
                        await got.read()
                with pytest.raises((aiohttp.ClientError, OSError)):
                    async with session.get(f"http://localhost:{port}/health") as got:
                        await got.read()

                before = await serial_at(port, asks)
                mount.put(**authority.pair("localhost"), ca_crt=clients.pem)

                async def renewed() -> bool:
                    return await serial_at(port, asks) != before

                await eventually(renewed)
                mount.put(tls_crt=b"half", tls_key=b"of it", ca_crt=clients.pem)
                told = await router.event("certificate refused")
                assert told["level"] == "error"
                assert await renewed()
                for one in await asyncio.gather(*streams):
                    assert one.endswith(b"data: [DONE]\n\n")
                async with session.get(f"https://localhost:{metrics_port}/metrics", ssl=asks) as g:
                    text = await g.text()
            for listener in ("listen", "management", "metrics"):
                expiry = "wayside_tls_certificate_expiry_timestamp_seconds"
                assert f'{expiry}{{listener="{listener}"}} ' in text
                reloads = f'wayside_tls_reloads_total{{listener="{listener}",outcome='
                assert f'{reloads}"taken"}} 1.0' in text
                assert f'{reloads}"refused"}} 1.0' in text
            assert await router.stop() == 0
            assert "PRIVATE KEY" not in router.text


async def test_several_workers_serve_tls_and_their_parent_does(
    folder: Path, authority: Authority
) -> None:
    """Each worker follows the files of the data plane, their parent those of management."""
    mount = Mount(folder / "tls")
    mount.put(**authority.pair("localhost"))
    tls = {"cert_file": mount.path("tls.crt"), "key_file": mount.path("tls.key")}
    document = {
        "listen": {"port": 0, "tls": tls},
        "management": {"port": 0, "tls": tls},
        "models": {"m": {"endpoints": ["http://127.0.0.1:9"]}},
    }
    config = written(folder, document)
    async with program(folder, "serve", "--config", str(config), "--workers", "2") as router:
        asks = authority.trusting()
        manage = (await router.url("management")).replace("127.0.0.1", "localhost")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{manage}/metrics", ssl=asks) as answer:
                text = await answer.text()
        ports = [e["url"] for e in router.events("serving") if "workers" in e]
        port = int(ports[0].removesuffix("/v1").rpartition(":")[2])
        before = await serial_at(port, asks)
        mount.put(**authority.pair("localhost"))

        async def renewed() -> bool:
            found = {await serial_at(port, asks) for _ in range(8)}
            return before not in found

        await eventually(renewed)
    for listener in ("listen", "management"):
        expiry = f'wayside_tls_certificate_expiry_timestamp_seconds{{listener="{listener}"}} '
        (line,) = [x for x in text.splitlines() if x.startswith(expiry)]
        ends = x509.ends(Path(mount.path("tls.crt")).read_text())
        assert float(line.split()[1]) == ends  # one worker's, and not the sum


async def test_a_client_that_never_shakes_hands_is_let_go(
    folder: Path, authority: Authority
) -> None:
    """Fault 9, before the first byte of HTTP."""
    mount = Mount(folder / "tls")
    mount.put(**authority.pair("localhost"))
    document = {
        "listen": {
            "port": 0,
            "tls": {"cert_file": mount.path("tls.crt"), "key_file": mount.path("tls.key")},
        },
        "limits": {"header_timeout_s": 0.3},
        "models": {"m": {"endpoints": ["http://127.0.0.1:9"]}},
    }
    async with running("gateway", document) as router:
        port = int(router.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_the_generated_envoy_serves_the_same_and_follows_it(
    folder: Path, authority: Authority
) -> None:
    """``serve --envoy`` with ``listen.tls`` and an authority for clients."""
    pytest.importorskip("envoy")
    mount = Mount(folder / "tls")
    mount.put(**authority.pair("localhost"), ca_crt=authority.pem)
    async with model() as server:
        document = {
            "listen": {
                "port": 0,
                "tls": {
                    "cert_file": mount.path("tls.crt"),
                    "key_file": mount.path("tls.key"),
                    "client_ca_file": mount.path("ca.crt"),
                },
            },
            "models": {"m": {"endpoints": [f"http://127.0.0.1:{server.port}"]}},
        }
        async with running("envoy", document) as router, aiohttp.ClientSession() as session:
            port = int(router.url.rpartition(":")[2])
            assert router.url.startswith("https://")
            url, body = (
                f"https://localhost:{port}/v1/chat/completions",
                json.dumps(chat("hi", "m")),
            )
            known = authority.trusting("client")
            async with session.post(url, data=body, ssl=known) as answer:
                assert answer.status == 200
            with pytest.raises((aiohttp.ClientError, OSError)):
                async with session.post(url, data=body, ssl=authority.trusting()) as answer:
                    await answer.read()
            before = await serial_at(port, known)
            mount.put(**authority.pair("localhost"), ca_crt=authority.pem)

            async def renewed() -> bool:
                return await serial_at(port, known) != before

            await eventually(renewed)


async def test_an_envoy_of_another_pod_and_the_router_prove_themselves_to_each_other(
    folder: Path, authority: Authority
) -> None:
    """Mutual TLS by a real Envoy: nobody else gets in, a stranger's router is not believed, and
    both certificates are renewed while requests run, of which none is lost."""
    pytest.importorskip("envoy")
    ours, theirs = Mount(folder / "router"), Mount(folder / "envoy")
    ours.put(**authority.pair("router.example"), ca_crt=authority.pem)
    theirs.put(**authority.pair("envoy.example"), ca_crt=authority.pem)
    log = Log()
    tls = ServerTls(
        "extproc.tls", rule(ours, client_ca_file=ours.path("ca.crt")), alpn=("h2",), log=log
    )
    small = ModelServer("small")
    await small.start()
    server = FramedServer(door())
    await server.start(tls=tls.context)
    settings = RouterSettings.model_validate(
        {
            "listen": {"port": free_port()},
            "models": {"small": {"endpoints": [f"http://127.0.0.1:{small.port}"]}},
            "envoy": {
                "router_tls": {
                    "ca_file": theirs.path("ca.crt"),
                    "server_name": "router.example",
                    "cert_file": theirs.path("tls.crt"),
                    "key_file": theirs.path("tls.key"),
                }
            },
        }
    )
    for name, text in secrets(settings, routers=True).items():
        (folder / name).write_text(text)
    config = bootstrap(
        settings,
        routers=[parse_address(f"127.0.0.1:{server.port}")],
        secrets_folder=str(folder),
    )
    url = f"http://127.0.0.1:{settings.listen.port}/v1/chat/completions"
    body = b'{"model":"small","messages":[{"role":"user","content":"hi"}]}'
    statuses: list[int] = []
    try:
        async with envoy(config, folder), aiohttp.ClientSession() as session:

            async def once() -> int:
                async with session.post(url, data=body) as answer:
                    await answer.read()
                    return answer.status

            assert await once() == 200
            # Nobody else: neither in clear text, nor without a certificate, nor with a stranger's.
            for asks in (None, authority.trusting(), Authority().trusting("envoy.example")):
                if asks is not None:
                    asks.check_hostname, asks.verify_mode = False, ssl.CERT_NONE
                assert not await greeted(server.port, asks)
            assert await greeted(server.port, _unverified(authority.trusting("envoy.example")))

            stop = asyncio.Event()

            async def keep_asking() -> None:
                while not stop.is_set():
                    statuses.append(await once())

            asking = [asyncio.create_task(keep_asking()) for _ in range(3)]
            other = Authority()  # the authority itself is replaced: first both are trusted
            both = authority.pem + other.pem
            ours.put(**authority.pair("router.example"), ca_crt=both)
            theirs.put(**authority.pair("envoy.example"), ca_crt=both)
            tls.refresh()
            await asyncio.sleep(0.4)
            ours.put(**other.pair("router.example"), ca_crt=both)
            theirs.put(**other.pair("envoy.example"), ca_crt=both)
            tls.refresh()
            await asyncio.sleep(0.4)
            ours.put(**other.pair("router.example"), ca_crt=other.pem)
            theirs.put(**other.pair("envoy.example"), ca_crt=other.pem)
            tls.refresh()
            await asyncio.sleep(0.4)
            for connection in list(server.connections):
                connection.drain()  # Envoy connects again, with what it has now
            count = len(statuses)
            await eventually(lambda: _more(statuses, count + 20))
            stop.set()
            await asyncio.gather(*asking)
            assert set(statuses) == {200}
            assert not await greeted(server.port, _unverified(authority.trusting("envoy")))

            # A router with the right authority and another name is not believed, nor asked.
            ours.put(**other.pair("elsewhere.example"), ca_crt=other.pem)
            tls.refresh()
            for connection in list(server.connections):
                connection.abort()

            async def refused() -> bool:
                return await once() == 503

            await eventually(refused)
    finally:
        await server.stop(0.2)
        await small.stop()


async def test_the_command_serves_envoys_by_mutual_tls_and_follows_its_files(
    folder: Path, authority: Authority
) -> None:
    """``wayside extproc``, on the event loop that it runs on."""
    mount = Mount(folder / "tls")
    mount.put(**authority.pair("router"), ca_crt=authority.pem)
    tls = {
        "cert_file": mount.path("tls.crt"),
        "key_file": mount.path("tls.key"),
        "client_ca_file": mount.path("ca.crt"),
    }
    document = {"extproc": {"port": 0, "tls": tls}, "models": {"m": {}}}
    config = written(folder, document)
    async with program(folder, "extproc", "--config", str(config)) as router:
        port = int(str((await router.event("serving"))["extproc"]).rpartition(":")[2])
        old, other = _unverified(authority.trusting("envoy")), Authority()
        assert await greeted(port, old)
        assert not await greeted(port, _unverified(authority.trusting()))
        assert not await greeted(port, None)
        mount.put(**other.pair("router"), ca_crt=other.pem)
        await router.event("certificate read again")
        assert await greeted(port, _unverified(other.trusting("envoy")))
        assert not await greeted(port, old)
        assert await router.stop() == 0
    told = CliRunner().invoke(extproc_command, ["--config", str(config), "--unix", "/tmp/x.sock"])
    assert told.exit_code == 2
    assert "extproc.tls is for TCP" in told.output


async def _more(found: list[int], than: int) -> bool:
    return len(found) > than


def _unverified(asks: ssl.SSLContext) -> ssl.SSLContext:
    asks.check_hostname, asks.verify_mode = False, ssl.CERT_NONE
    return asks


async def greeted(port: int, asks: ssl.SSLContext | None) -> bool:
    """Whether an HTTP/2 server talks to a client that connects so."""
    if asks is not None:
        asks.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=asks)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            said = await reader.read(9)
            writer.transport.abort()
    except OSError:
        return False
    return len(said) == 9 and said[3] == 4  # SETTINGS


def test_the_envoy_in_the_pod_reaches_a_router_that_serves_others_by_tls() -> None:
    """One port for both: so it speaks TLS, too, and it is told how, or refused."""
    ports = pod.Ports(clients=(8801,), extproc=50051, router_api=8082, admin=19000)
    tls = {"cert_file": "/tls/tls.crt", "key_file": "/tls/tls.key", "client_ca_file": "/tls/ca"}
    document: dict[str, Any] = {
        "extproc": {"tls": tls},
        "models": {"m": {"endpoints": ["http://127.0.0.1:9"]}},
    }
    with pytest.raises(ConfigError, match=r"envoy\.router_tls"):
        pod.files(RouterSettings.model_validate(document), ports)
    document["envoy"] = {"router_tls": {"ca_file": "/tls/ca", "server_name": "router"}}
    files = pod.files(RouterSettings.model_validate(document), ports)
    boot = json.loads(files["envoy.yaml"])
    router = boot["static_resources"]["clusters"][0]
    assert router["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    (named,) = [text for name, text in files.items() if name.startswith("secret-router")]
    assert "/tls/ca" in named


def test_what_envoy_reads_is_printed_and_never_forgotten(folder: Path) -> None:
    """A bootstrap that would serve plain HTTP where TLS is set is not printed."""
    path = folder / "wayside.yaml"
    path.write_text(
        "listen: {tls: {cert_file: /tls/tls.crt, key_file: /tls/tls.key}}\n"
        "models: {m: {endpoints: [http://127.0.0.1:9]}}\n"
    )
    run = CliRunner()
    plain = run.invoke(envoy_command, ["config", "--config", str(path)])
    assert plain.exit_code != 0
    assert "--secrets" in str(plain.exception)
    more = ["--secrets", str(folder / "envoy"), "--router", "router:50051"]
    printed = run.invoke(envoy_command, ["config", "--config", str(path), *more])
    assert str(folder / "envoy" / "secrets.yaml") in printed.output
    assert "STRICT_DNS" in printed.output
    listed = run.invoke(envoy_command, ["secrets", str(folder / "envoy"), "--config", str(path)])
    assert listed.exit_code == 0
    assert "/tls/tls.key" in (folder / "envoy" / "secrets.yaml").read_text()


def test_doctor_says_which_listeners_others_reach(folder: Path) -> None:
    path = folder / "wayside.yaml"
    path.write_text("listen: {address: 0.0.0.0}\nmodels: {m: {endpoints: [http://127.0.0.1:9]}}\n")
    told = CliRunner().invoke(doctor_command, ["--config", str(path), "--timeout", "1"])
    assert "warning: listen.address 0.0.0.0" in told.output


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, []),
        ({"listen": {"address": "0.0.0.0"}}, ["listen.tls"]),
        (
            {"listen": {"address": "::"}, "extproc": {"address": "::"}},
            ["listen.tls", "extproc.tls"],
        ),
        ({"listen": {"address": "::1"}, "management": {"address": "127.0.0.2"}}, []),
        ({"management": {"address": "10.0.0.1"}}, ["management.tls"]),
        ({"management": {"address": "10.0.0.1", "enabled": False}}, []),
        (
            {"management": {"address": "::", "tls": {"cert_file": "a", "key_file": "b"}}},
            ["management.tls.client_ca_file"],
        ),
        (
            {
                "management": {
                    "address": "::",
                    "tls": {"cert_file": "a", "key_file": "b", "client_ca_file": "c"},
                }
            },
            [],
        ),
    ],
)
def test_listeners_that_others_reach_are_told_of(document: Any, said: list[str]) -> None:
    found = list(exposed(RouterSettings.model_validate(document)))
    assert len(found) == len(said)
    for one, setting in zip(found, said, strict=True):
        assert setting in one
