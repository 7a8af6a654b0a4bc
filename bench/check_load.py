"""Does the load generator notice bad answers? Run after touching native/load.c.

Serves one kind of answer at a time, good or broken, and compares what the generator says about it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import rig

_GOOD = b'{"model":"bench-model","state":"prompt-whole"}'
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_STREAM = _CHUNKED + _chunk(_GOOD) + _chunk(b"data: [DO") + _chunk(b"NE]") + b"0\r\n\r\n"

# name -> (answer, close after it, request is a stream, which counters must be above zero)
CASES: dict[str, tuple[bytes, bool, bool, set[str]]] = {
    "right": (_HEAD % len(_GOOD) + _GOOD, False, False, set()),
    "right, then closed as said": (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(_GOOD) + _GOOD,
        *(True, False, {"reconnects"}),
    ),
    "right, until close": (b"HTTP/1.1 200 OK\r\n\r\n" + _GOOD, True, False, {"reconnects"}),
    "right stream in odd pieces": (_STREAM, False, True, set()),
    "another model": (_HEAD % 2 + b"{}", False, False, {"wrong"}),
    "an error": (
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        False,
        False,
        {"wrong"},
    ),
    "too short": (_HEAD % 999 + _GOOD, True, False, {"lost", "reconnects"}),
    "too long": (_HEAD % len(_GOOD) + _GOOD + b"x", False, False, {"wrong"}),
    "no answer": (b"", True, False, {"lost", "reconnects"}),
    "not HTTP": (b"SSH-2.0-nope\r\n\r\n", False, False, {"wrong", "reconnects"}),
    "a broken chunk": (_CHUNKED + b"zz\r\n\r\n", False, True, {"wrong", "reconnects"}),
    "a chunk of the wrong size": (
        _CHUNKED + b"5\r\n" + _GOOD + b"\r\n0\r\n\r\n",
        *(False, True, {"wrong", "reconnects"}),
    ),
    "a stream without [DONE]": (
        _CHUNKED + _chunk(_GOOD) + b"0\r\n\r\n",
        *(False, True, {"wrong"}),
    ),
    "a stream cut off": (_CHUNKED + _chunk(_GOOD), True, True, {"lost", "reconnects"}),
}


async def count(answer: bytes, close: bool, stream: bool, folder: Path) -> dict[str, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"[end-of-prompt]")
                await asyncio.sleep(0.002)
                for at in range(0, len(answer), 37):  # odd pieces: nothing arrives whole
                    writer.write(answer[at : at + 37])
                    await writer.drain()
                    await asyncio.sleep(0)
                if close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    body = rig.body_file(folder, "short", "bench-model", stream=stream)
    kind = rig.Kind(body, ('"bench-model"', "prompt-whole"), stream)
    command = rig.load_command(port, [kind], conns=2, seconds=0.2)
    load = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await load.communicate()
    server.close()
    found: dict[str, int] = json.loads(out)
    return found


def main() -> int:
    rig.build()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (answer, close, stream, expected) in CASES.items():
            found = asyncio.run(count(answer, close, stream, Path(folder)))
            keys = ("wrong", "lost", "reconnects")
            seen = {key for key in keys if found[key]}
            # A broken connection is replaced; how often it also shows as `lost` is its own affair.
            good = seen == expected and (found["requests"] > 0 or bool(expected))
            failed += not good
            counts = {key: found[key] for key in ("requests", *keys)}
            print(f"{'ok  ' if good else 'FAIL'} {name}: {counts}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
