"""A client that says anything, byte by byte, and reads what comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from tests.gateway.rig import head_and_body, status_of
from tests.running import Running

PATIENCE_S = 8.0
KEYS = {"message", "type", "param", "code"}
"""Of an error in OpenAI's shape: all four, always."""


def port(router: Running) -> int:
    found = urlsplit(router.url).port
    assert found
    return found


async def say(
    router: Running | int, *pieces: bytes, pause: float = 0.0, patience: float = PATIENCE_S
) -> bytes:
    """Send ``pieces`` and read until the other side closes, or has answered and is silent."""
    where = router if isinstance(router, int) else port(router)
    reader, writer = await asyncio.open_connection("127.0.0.1", where)
    got = b""
    try:
        async with asyncio.timeout(patience):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause:
                    await asyncio.sleep(pause)
            while data := await reader.read(1 << 16):
                got += data
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return got


def request(
    body: bytes = b"",
    *lines: bytes,
    path: bytes = b"/v1/chat/completions",
    method: bytes = b"POST",
    close: bool = True,
) -> bytes:
    """A request with these header lines; its length is said unless one of them frames it."""
    head = [b"%b %b HTTP/1.1" % (method, path), b"host: router"]
    framed = any(line.lower().startswith((b"content-length", b"transfer-enc")) for line in lines)
    if not framed and body:
        head.append(b"content-length: %d" % len(body))
    if close:
        head.append(b"connection: close")
    return b"\r\n".join([*head, *lines, b"", body])


def error_of(answer: bytes) -> dict[str, Any]:
    """The error of a raw answer, which has OpenAI's shape and says nothing of our insides."""
    _, body = head_and_body(answer)
    return checked(json.loads(body))


def checked(said: Any) -> dict[str, Any]:
    assert set(said) == {"error"}, said
    found: dict[str, Any] = said["error"]
    assert set(found) == KEYS and found["message"], found
    text = json.dumps(found)
    assert "Traceback" not in text and ".py" not in text and "0x" not in text, text
    return found


def status(answer: bytes) -> int:
    """Of a raw answer; 0 where there was none."""
    return status_of(answer) if answer.startswith(b"HTTP/1.1 ") else 0
