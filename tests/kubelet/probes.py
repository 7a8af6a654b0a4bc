"""Asking a container how it is: httpGet, tcpSocket, grpc (``grpc.health.v1``) and exec."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from tests.kubelet.net import Network
from tests.kubelet.services import port_of
from wayside.kube.client import Object

Exec = Callable[[list[str]], Awaitable[tuple[int, str]]]


async def ask(probe: Object, pod: Object, ip: str, network: Network, run: Exec) -> str:
    """Empty if all is well, else what is wrong."""
    try:
        async with asyncio.timeout(probe.get("timeoutSeconds", 1)):
            if "exec" in probe:
                code, said = await run(probe["exec"]["command"])
                return f"exit status {code}: {said[-200:]}" if code else ""
            if "httpGet" in probe:
                return await _http(probe["httpGet"], pod, ip, network)
            if "grpc" in probe:
                about = probe["grpc"]
                return await _grpc(ip, about["port"], about.get("service", ""), network)
            port = port_of(pod, probe["tcpSocket"]["port"])
            if port is None:
                return f"no port {probe['tcpSocket']['port']!r}"
            _, writer = await network.connect(ip, port)
            writer.close()
            return ""
    except TimeoutError:
        return "timed out"
    except (OSError, EOFError, ValueError) as error:
        return str(error) or type(error).__name__


async def _http(about: Object, pod: Object, ip: str, network: Network) -> str:
    port = port_of(pod, about["port"])
    if port is None:
        return f"no port {about['port']!r}"
    tls = None
    if about.get("scheme") == "HTTPS":
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await network.connect(about.get("host") or ip, port, tls=tls)
    try:
        headers = {"Host": f"{ip}:{port}", "User-Agent": "kube-probe/1.36", "Connection": "close"}
        headers |= {h["name"]: h["value"] for h in about.get("httpHeaders") or []}
        lines = [f"GET {about.get('path') or '/'} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status = int((await reader.readline()).split()[1])
        return "" if 200 <= status < 400 else f"status {status}"
    except IndexError:
        return "no HTTP"
    finally:
        writer.close()


async def _grpc(ip: str, port: int, service: str, network: Network) -> str:
    """One ``Check`` in bare HTTP/2: headers that refer to nothing need no compression tables."""
    reader, writer = await network.connect(ip, port)

    def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
        head = len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4)
        return head + body

    def header(name: str, value: str) -> bytes:
        return b"".join([b"\0", *(bytes([len(t)]) + t.encode() for t in (name, value))])

    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check")]
    fields += [(":authority", ip), ("content-type", "application/grpc"), ("te", "trailers")]
    asked = (b"\x0a" + bytes([len(service)]) + service.encode()) if service else b""
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        writer.write(frame(1, 4, 1, b"".join(header(*f) for f in fields)))
        writer.write(frame(0, 1, 1, b"\0" + len(asked).to_bytes(4) + asked))
        while True:
            head = await reader.readexactly(9)
            body = await reader.readexactly(int.from_bytes(head[:3]))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
            if kind == 4 and not flags & 1:
                writer.write(frame(4, 1, 0, b""))
            elif kind == 0 and stream == 1:
                serving = body[5:] == b"\x08\x01"
                return "" if serving else f"not serving ({body[5:].hex() or 'unknown'})"
            elif kind in (3, 7) or (kind == 1 and flags & 1):
                return "the health service did not answer"
    finally:
        writer.close()
