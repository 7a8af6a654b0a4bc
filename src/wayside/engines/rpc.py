"""JSON-RPC as a client of a Model Context Protocol server speaks it (revision 2025-06-18).

As much of MCP as calling one tool needs: initialize, list tools, call. Our own because the ``mcp``
package brings a second HTTP stack, a schema library and 25 MB for these three messages. How the
messages travel is `mcp_http` and `mcp_child`.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from wayside.net.http import clean
from wayside.vocab.errors import AskFailed

REVISION: Final = "2025-06-18"
HELLO: Final = {
    "protocolVersion": REVISION,
    "capabilities": {},
    "clientInfo": {"name": "wayside", "version": "1"},
}
Json = dict[str, Any]


class Peer(Protocol):
    """A server that has been greeted and answers calls."""

    async def call(self, method: str, params: Json) -> Json:
        """The ``result`` of a call; :class:`AskFailed`, ``OSError`` or ``TimeoutError``."""
        ...

    def close(self) -> None: ...


def result_of(message: Json, name: str) -> Json:
    """The ``result`` of an answer; its ``error`` as :class:`AskFailed`."""
    error = message.get("error")
    if isinstance(error, dict):
        # its message may repeat what it was sent, and prompts are told to nobody
        raise AskFailed(f"engine {name!r}: the MCP server refuses, code {error.get('code')}")
    found = message.get("result")
    if not isinstance(found, dict):
        raise AskFailed(f"engine {name!r}: the MCP server's answer has no result")
    return found


def notification(method: str, params: Json | None = None) -> Json:
    """A message that wants no answer."""
    return {"jsonrpc": "2.0", "method": method, **({"params": params} if params else {})}


def declined(message: Json) -> Json:
    """The answer to what a server asks of us: a ping is answered, all else refused."""
    if message["method"] == "ping":
        return {"jsonrpc": "2.0", "id": message["id"], "result": {}}
    error = {"code": -32601, "message": "this client only calls tools"}
    return {"jsonrpc": "2.0", "id": message["id"], "error": error}


def numbered(message: Json) -> bool:
    """Whether a message answers a call of ours."""
    return isinstance(message.get("id"), int)


def as_json(raw: bytes | bytearray) -> Json | None:
    """A JSON object, or nothing for what is none."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    return found if isinstance(found, dict) else None


def as_line(message: Json) -> bytes:
    """A message as a line of JSON."""
    return msgspec.json.encode(clean(message)) + b"\n"
