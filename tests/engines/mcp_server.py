"""A small MCP server on stdin and stdout, for tests: ``python mcp_server.py MODE``."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main(mode: str) -> None:
    if mode == "broken":
        print("Traceback: no module named 'weights'", file=sys.stderr)
        sys.exit(3)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        result = answer(message["method"], message.get("params", {}), mode)
        if result is not None:
            say({"jsonrpc": "2.0", "id": message["id"], **result})


def answer(method: str, params: dict[str, Any], mode: str) -> dict[str, Any] | None:
    if method == "initialize":
        say({"jsonrpc": "2.0", "id": 900, "method": "ping"})
        print("a log line on the wrong stream", flush=True)
        return {"result": {"protocolVersion": "2025-06-18", "capabilities": {}}}
    if method == "tools/list":
        return {"result": {"tools": [{"name": "classify"}, {"name": "environment"}]}}
    text = params["arguments"].get("text", "")
    if text == "die":
        print(f"cannot read {text}: secret", file=sys.stderr)
        os._exit(7)
    if text == "hang":
        return None
    if text == "flood":
        sys.stdout.write("x" * 100_000)
        sys.stdout.flush()
        time.sleep(60)
    if text == "fail":
        return {"error": {"code": -32000, "message": f"secret {text}"}}
    if text == "report":
        return {"result": {"isError": True, "content": [{"type": "text", "text": "secret"}]}}
    if params["name"] == "environment":
        labels = {name: 1 / len(os.environ) for name in os.environ}
        return {"result": {"structuredContent": {"labels": labels}}}
    share = min(1.0, len(text) / 100)
    found = {"labels": {"long": share, "short": 1 - share}, "pid": os.getpid()}
    return {"result": {"content": [{"type": "text", "text": json.dumps(found)}]}}


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
