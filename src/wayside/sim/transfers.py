"""Prefill on one server, decode on another: what a server does for it, and how often it did.

The prefill server answers a request with `do_remote_decode` by one token and by the names of the
blocks it holds (`offers.py`). The decode server is given these in `kv_transfer_params`, fetches
the blocks when it has a slot, and reads the prompt itself if they are not there. vLLM's servers
copy blocks between GPUs (NIXL); these only ask `POST /_sim/kv` on `remote_host:remote_port`.

With `sidecar`, a server does the first half by itself: it sends the prompt to the server named
in `x-prefiller-host-port` and goes on with what that answers. Sources: vLLM's NixlConnector and
llm-d's pkg/sidecar/proxy, their `kv_transfer_params`.
"""

import asyncio
import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wayside.net.h1 import Connection, TooLarge
from wayside.settings.address import parse_address

from .answer import Choice
from .ask import Ask, Body, read_body
from .engine import Engine, Sequence
from .settings import SimServer
from .wire import Request

PREFILLER = "x-prefiller-host-port"
FETCH_PATH = "/_sim/kv"
_FETCH_S = 5.0
_PREFILL_S = 600.0
_MOST_BYTES = 16 << 20
_FORWARDED = ("authorization", "x-request-id", "traceparent")

Params = Mapping[str, Any]


@dataclass(slots=True)
class TransferTally:
    """How often each half of a hand-over happened here."""

    offered: int = 0
    """Prompts read for another server."""
    fetched: int = 0
    """Prompts whose blocks came from another server."""
    fetched_tokens: int = 0
    """Tokens of those that were not read here."""
    missed: int = 0
    """Prompts that should have been fetched, but nobody held them: read here."""
    sent_to_prefill: int = 0
    """Prompts that the sidecar had read by another server."""
    prefill_failed: int = 0
    """Prompts that it could not: read here."""

    def as_json(self) -> dict[str, int]:
        return asdict(self)


class Transfers:
    """The two halves on one server; `address` and `port` are where others find it."""

    def __init__(self, settings: SimServer, address: str) -> None:
        self.tally = TransferTally()
        self.port = settings.port
        self._settings = settings
        self._address = address

    async def read_elsewhere(self, request: Request) -> Body:
        """The body; if a sidecar had the prompt read elsewhere, with what that server said."""
        body = read_body(request.body)
        where = request.fields.get(PREFILLER)
        if not where or not self._settings.sidecar:
            return body
        params = await prefill_elsewhere(where, request.path, body, request.fields)
        if params is None:
            self.tally.prefill_failed += 1
            return body
        self.tally.sent_to_prefill += 1
        return {**body, "kv_transfer_params": params}

    async def fetch(self, params: Params) -> bool:
        """Get a prompt's cache from elsewhere; False when it has to be computed here."""
        if self._settings.role != "prefill" and await fetch_blocks(params):
            self.tally.fetched += 1
            return True
        self.tally.missed += 1
        return False

    def offers(self, ask: Ask, choices: tuple[Choice, ...]) -> bool:
        """Whether this answer is one that another server goes on from.

        As in vLLM, that is one which was cut at its limit, and is not streamed.
        """
        wanted = ask.kv_transfer is not None and ask.kv_transfer.get("do_remote_decode") is True
        whole = len(choices) == 1 and choices[0].finish == "length"
        return wanted and whole and self._settings.role != "decode"

    def offer(self, engine: Engine, sequence: Sequence) -> Params:
        """Keep a prompt's blocks for another server; says where they are."""
        self.tally.offered += 1
        ids = engine.offers.offer(sequence.held)
        return offer_params(engine.offers.engine_id, ids, self._address, self.port)

    def give(self, engines: Iterable[Engine], engine_id: object, ids: object) -> bool:
        """Another server fetches blocks that were kept for it; False when they are not here."""
        return any(engine.offers.fetch(engine_id, ids) for engine in engines)


def wants_fetch(params: Params) -> bool:
    """Whether the prompt was read elsewhere."""
    return params.get("do_remote_prefill") is True


def offer_params(engine_id: str, ids: list[int], host: str, port: int) -> dict[str, Any]:
    """What the answer of a prefill says, and the decode request then has."""
    return {
        "do_remote_prefill": True,
        "do_remote_decode": False,
        "remote_engine_id": engine_id,
        "remote_block_ids": ids,
        "remote_host": host,
        "remote_port": port,
    }


def tell_offer(body: bytes, params: Params) -> bytes:
    """An answer, and in it where to go on."""
    return body[:-1] + b', "kv_transfer_params": ' + json.dumps(params).encode() + b"}"


async def fetch_blocks(params: Params) -> bool:
    """Take over the blocks that `params` name; False when they are not to be had."""
    host, port = params.get("remote_host"), params.get("remote_port")
    if not host or not port:
        return False
    asked = {"engine_id": params.get("remote_engine_id"), "ids": params.get("remote_block_ids")}
    host = f"[{host}]" if ":" in str(host) else host
    try:
        status, _ = await _post(f"{host}:{port}", FETCH_PATH, asked, {}, _FETCH_S)
    except (OSError, TimeoutError, ValueError, TooLarge):
        return False
    return status == 200


async def prefill_elsewhere(
    where: str, path: str, body: Params, fields: Mapping[str, str]
) -> Params | None:
    """Have the prompt of `body` read by the server `where`; None when it did not do it."""
    asked = {k: v for k, v in body.items() if k not in ("stream_options", "min_tokens")}
    asked |= {"max_tokens": 1, "stream": False}
    if "max_completion_tokens" in asked:
        asked["max_completion_tokens"] = 1
    asked["kv_transfer_params"] = {
        "do_remote_decode": True,
        "do_remote_prefill": False,
        **dict.fromkeys(("remote_engine_id", "remote_block_ids", "remote_host", "remote_port")),
    }
    headers = {name: fields[name] for name in _FORWARDED if name in fields}
    where = where.partition(",")[0].strip()
    try:
        status, answer = await _post(where, path, asked, headers, _PREFILL_S)
    except (OSError, TimeoutError, ValueError, TooLarge):
        return None
    params = answer.get("kv_transfer_params")
    return params if status == 200 and isinstance(params, dict) else None


async def _post(
    where: str, path: str, body: Params, headers: Mapping[str, str], timeout_s: float
) -> tuple[int, dict[str, Any]]:
    """Status, and the JSON object if it is one.

    Raises OSError, TimeoutError, TooLarge, or ValueError for an address or JSON that is none.
    """
    address = parse_address(where)
    raw = json.dumps(body).encode()
    lines = [f"POST {address.base_path}{path} HTTP/1.1", f"host: {address.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += ["content-type: application/json", f"content-length: {len(raw)}", "connection: close"]
    tls = None
    if address.scheme == "https":  # a sidecar checks no certificate of its prefiller either
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    async with asyncio.timeout(timeout_s):
        connection = await Connection.open(address, tls, address.host if tls else None)
        try:
            request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace") + raw
            answer = await connection.exchange(request, _MOST_BYTES, None)
        finally:
            connection.drop()
    said = json.loads(bytes(answer.body) or b"{}")
    return answer.status, said if isinstance(said, dict) else {}
