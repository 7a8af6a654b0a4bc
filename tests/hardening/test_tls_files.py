"""TLS of listeners: files that are followed, and what becomes of those that cannot be used."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.hardening.authority import Authority, Mount, serial
from wayside.net import x509
from wayside.net.tls import Certificates, ServerTls, show
from wayside.settings.tls import ListenerTlsSettings
from wayside.telemetry.metrics import Metrics
from wayside.vocab.errors import ConfigError


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self.lines.append((event, {"level": level, **fields}))

    def said(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.lines if name == event]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def mount(tmp_path: Path, authority: Authority) -> Mount:
    made = Mount(tmp_path / "tls")
    made.put(**authority.pair("localhost"), ca_crt=authority.pem)
    return made


def rule(mount: Mount, **more: Any) -> ListenerTlsSettings:
    given = {"cert_file": mount.path("tls.crt"), "key_file": mount.path("tls.key"), **more}
    return ListenerTlsSettings.model_validate(given)


@contextlib.asynccontextmanager
async def echoing(tls: ServerTls) -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Client:
    """A connection that is made, and can be asked whether it still is."""

    @classmethod
    async def to(cls, port: int, context: ssl.SSLContext) -> Client:
        made = cls()
        made.reader, made.writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        await made.works()
        return made

    async def works(self) -> None:
        """Raises ``OSError`` once the server has hung up: TLS 1.3 tells of a client's certificate
        after the handshake only."""
        self.writer.write(b"x")
        if await asyncio.wait_for(self.reader.read(1), 5) != b"x":
            raise ConnectionResetError

    @property
    def serial(self) -> str:
        return serial(self.writer.get_extra_info("ssl_object"))

    def close(self) -> None:
        self.writer.transport.abort()


async def test_a_renewed_certificate_is_taken_and_open_connections_go_on(
    mount: Mount, authority: Authority
) -> None:
    log = Log()
    tls = ServerTls("listen.tls", rule(mount), log=log)
    async with echoing(tls) as port:
        old = await Client.to(port, authority.trusting())
        for version in ("TLSv1_2", "TLSv1_3"):
            mount.put(**authority.pair("localhost"), ca_crt=authority.pem)
            tls.refresh()
            asks = authority.trusting()
            asks.minimum_version = asks.maximum_version = ssl.TLSVersion[version]
            new = await Client.to(port, asks)
            assert new.serial != old.serial
            new.close()
        await old.works()
        old.close()
    assert len(log.said("certificate read again")) == 2


@pytest.mark.parametrize(
    "broken",
    ["key of another", "half", "empty", "no PEM", "gone", "ended", "with a password"],
)
async def test_a_bad_pair_keeps_the_old_one_and_says_so(
    broken: str, mount: Mount, authority: Authority
) -> None:
    log, metrics = Log(), Metrics()
    certificates = Certificates(log, metrics)
    context = certificates.serve("listen", rule(mount))
    assert context is not None
    tls = certificates._served["listen"]
    good, other = authority.pair("localhost"), authority.pair("localhost")
    match broken:
        case "key of another":
            mount.put(tls_crt=good["tls_crt"], tls_key=other["tls_key"])
        case "half":
            mount.put(tls_crt=good["tls_crt"][:200], tls_key=good["tls_key"])
        case "empty":
            mount.put(tls_crt=b"", tls_key=b"")
        case "no PEM":
            mount.put(tls_crt=b"\x00\xff" * 99, tls_key=good["tls_key"])
        case "gone":
            mount.put(tls_crt=good["tls_crt"])
        case "ended":
            mount.put(**authority.pair("localhost", ended=True))
        case "with a password":
            text = good["tls_key"].replace(
                b"KEY-----\n", b"KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n", 1
            )
            mount.put(tls_crt=good["tls_crt"], tls_key=text)
    async with echoing(tls) as port:
        for _ in range(3):
            certificates.refresh()
        client = await Client.to(port, authority.trusting())
        client.close()
        (told,) = log.said("certificate refused")  # once, and not at every look
        assert told["level"] == "error"
        assert told["why"].startswith("listen.tls.")
        assert "PRIVATE KEY" not in str(log.lines)
        assert 'wayside_tls_reloads_total{listener="listen",outcome="refused"} 1.0' in shown(
            metrics
        )
        mount.put(**good)
        certificates.refresh()
        again = await Client.to(port, authority.trusting())
        assert again.serial != client.serial
        again.close()
    assert 'wayside_tls_reloads_total{listener="listen",outcome="taken"} 1.0' in shown(metrics)


def shown(metrics: Metrics) -> str:
    text = metrics.text()
    return text.decode() if isinstance(text, bytes) else text


async def test_only_those_with_a_certificate_of_the_authority_get_in(
    mount: Mount, authority: Authority
) -> None:
    stranger = Authority()
    tls = ServerTls("x.tls", rule(mount, client_ca_file=mount.path("ca.crt")), log=Log())
    async with echoing(tls) as port:
        friend = await Client.to(port, authority.trusting("envoy"))
        friend.close()
        for names in ((), ("envoy",)):
            asks = authority.trusting()
            if names:
                stranger.ca.issue_cert(*names).configure_cert(asks)
            with pytest.raises(OSError):
                await Client.to(port, asks)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_an_authority_that_is_gone_is_trusted_no_longer(
    version: str, mount: Mount, authority: Authority
) -> None:
    """Not by resuming a session either, which OpenSSL does not verify again."""
    tls = ServerTls("x.tls", rule(mount, client_ca_file=mount.path("ca.crt")), log=Log())
    async with echoing(tls) as port:
        asks = authority.trusting("envoy")
        asks.minimum_version = asks.maximum_version = ssl.TLSVersion[version]
        sessions = await asyncio.to_thread(_session, port, asks, None)
        client = await Client.to(port, asks)
        client.close()
        mount.put(**authority.pair("localhost"), ca_crt=Authority().pem)
        tls.refresh()
        with pytest.raises(OSError):
            await Client.to(port, asks)
        with pytest.raises(OSError):
            await asyncio.to_thread(_session, port, asks, sessions)


def _session(port: int, asks: ssl.SSLContext, known: Any) -> Any:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        with asks.wrap_socket(raw, server_hostname="localhost", session=known) as sock:
            sock.send(b"x")
            if sock.recv(1) != b"x":
                raise ConnectionResetError
            return sock.session


async def test_old_versions_are_refused(mount: Mount, authority: Authority) -> None:
    tls = ServerTls("x.tls", rule(mount, minimum="1.3"), log=Log())
    async with echoing(tls) as port:
        old = authority.trusting()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError):
            await Client.to(port, old)
        new = await Client.to(port, authority.trusting())
        assert new.writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        new.close()


def test_what_is_wrong_at_the_start_is_told_with_its_place(mount: Mount, tmp_path: Path) -> None:
    for given, where in (
        ({"cert_file": str(tmp_path / "none")}, "listen.tls.cert_file"),
        ({"key_file": str(tmp_path / "none")}, "listen.tls.key_file"),
        ({"key_file": mount.path("ca.crt")}, "listen.tls.key_file"),
        ({"client_ca_file": mount.path("tls.key")}, "listen.tls.client_ca_file"),
    ):
        with pytest.raises(ConfigError) as error:
            ServerTls("listen.tls", rule(mount, **given), log=Log())
        assert error.value.problems[0].where == where


def test_when_a_certificate_ends_is_a_gauge(mount: Mount) -> None:
    metrics = Metrics()
    certificates = Certificates(Log(), metrics)
    certificates.serve("listen", rule(mount))
    name = "wayside_tls_certificate_expiry_timestamp_seconds"
    (line,) = [x for x in shown(metrics).splitlines() if x.startswith(name)]
    assert float(line.split()[1]) == x509.ends(Path(mount.path("tls.crt")).read_text())


@pytest.mark.parametrize("year", [2031, 2049, 2050, 2120])
def test_when_a_certificate_ends_is_read(year: int) -> None:
    """Against the library that is not among our dependencies."""
    import datetime

    from cryptography.x509 import load_pem_x509_certificate

    ends = datetime.datetime(year, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    leaf = trustme.CA().issue_cert("localhost", not_after=ends)
    pem = leaf.cert_chain_pems[0].bytes()
    known = load_pem_x509_certificate(pem).not_valid_after_utc
    assert x509.ends("a note before it\n" + pem.decode()) == known.timestamp() == ends.timestamp()


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_cut_certificate_is_an_error_and_nothing_else(cut: int, authority: Authority) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.pem.decode())
    with pytest.raises((ValueError, IndexError)):
        x509.not_after(der[:cut])


def test_a_certificate_of_no_file_needs_no_folder(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 39: no /tmp."""
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    pair = authority.pair("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    show(context, pair["tls_crt"].decode(), pair["tls_key"].decode())
    with pytest.raises(ssl.SSLError):
        show(context, pair["tls_crt"].decode(), authority.pair("x")["tls_key"].decode())


async def test_a_thousand_renewals_leave_no_memory_behind(
    mount: Mount, authority: Authority
) -> None:
    """Fault 24's kind: what is replaced is let go."""
    import gc

    tls = ServerTls("x.tls", rule(mount), log=Log())
    two = authority.pair("localhost"), authority.pair("localhost")

    def contexts() -> int:
        gc.collect()
        return sum(type(o) is ssl.SSLContext for o in gc.get_objects())

    before = contexts()
    began = time.perf_counter()
    for i in range(50):
        Path(mount.path("tls.crt")).resolve().write_bytes(two[i % 2]["tls_crt"] + b"\n" * i)
        Path(mount.path("tls.key")).resolve().write_bytes(two[i % 2]["tls_key"])
        tls.refresh()
    assert contexts() <= before + 1
    assert time.perf_counter() - began < 20
