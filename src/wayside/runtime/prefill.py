"""Prompts that one server reads so that another writes the answer (spec 2.2, 4.3).

Two steps: the request goes to a prefill server, for one token; what that says in
``kv_transfer_params`` goes with the request to the decode server, which fetches the prompt's KV
cache instead of computing it. Or the decode server's own sidecar does that, and is told where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from wayside.dialects import UNREADABLE, Edit
from wayside.fleet import DialError, Dice, Pool, Replica
from wayside.net.h1 import Answer
from wayside.settings.disaggregation import DisaggregationSettings
from wayside.vocab.endpoint import Need
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Forward

HEADER: Final = "x-prefiller-host-port"
_NOTHING_YET: Final = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}
_PATHS: Final = ("/chat/completions", "/completions")
_DROPPED: Final = (
    "max_completion_tokens",
    "min_tokens",
    "stream_options",
    "best_of",
    "n",
    "echo",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
)
"""What says how the answer is to be, and nothing of the prompt."""
_THEIRS: Final = frozenset({400, 413, 422})
"""Refusals of the request itself: every server would refuse it."""
REMOTE, SHORT, NOBODY, FAILED = "remote", "decode_short", "decode_no_server", "decode_failed"
"""What was decided of a prompt, for the metric."""


class Sends(Protocol):
    """Asks one server: :class:`wayside.runtime.calls.Calls`."""

    async def to(
        self, pool: Pool, replica: Replica, forward: Forward, body: bytes, need: Need | None
    ) -> Answer: ...


class NoPrefill(Exception):
    """No prefill server took the prompt, and the settings say that none else may."""


class _Theirs(Exception):
    """The request is refused for what it is: the decode server says so to the client, in its own
    words."""


class Place:
    """A request that counts as under way at a prefill server which a sidecar asks."""

    __slots__ = ("_need", "_over", "_pool", "_replica")

    def __init__(self, pool: Pool, replica: Replica, need: Need) -> None:
        self._pool, self._replica, self._need = pool, replica, need
        self._over = False
        pool.began(replica, need)

    def leave(self) -> None:
        """The answer begins, so the prompt was read; or there is none. Only the first call
        counts."""
        if not self._over:
            self._over = True
            self._pool.ended(self._replica, self._need)


class Read(NamedTuple):
    """A request as it goes to the decode server; ``by`` read its prompt, or will, if anybody
    else does. ``place`` is to be left when the answer begins, or nothing comes of it."""

    forward: Forward
    by: Replica | None = None
    place: Place | None = None


class Prefill:
    """``told`` hears of every decision: the model and what was decided."""

    def __init__(self, calls: Sends, dice: Dice, told: Callable[[str, str], None]) -> None:
        self._calls, self._dice, self._told = calls, dice, told

    def wanted(self, forward: Forward, pool: Pool, need: Need) -> bool:
        """Whether a prompt is to be read elsewhere than at the server picked for its answer."""
        settings = pool.settings.disaggregation
        if settings is None or pool.prefill is None or not _splits(forward):
            return False
        cached: float = need.memo.get("hit", 0.0)
        enough = settings.cached_share is not None and cached >= settings.cached_share
        if enough or round(need.tokens * (1.0 - cached)) < settings.min_tokens:
            self._told(forward.target.name, SHORT)
            return False
        return True

    async def run(self, forward: Forward, pool: Pool, need: Need, writer: Replica) -> Read:
        """The request as it goes to the decode server, ``writer`` if that stays as it is, which
        does not hand anything over to itself. Raises :class:`NoPrefill`."""
        settings, prefill = pool.settings.disaggregation, pool.prefill
        if settings is None or prefill is None:  # a reload was faster
            return Read(forward)
        model = forward.target.name
        # Chosen for itself: what one side remembers of prompts says nothing of the other.
        mine = Need(
            need.usual,
            body=need.body,
            headers=need.headers,
            now=asyncio.get_running_loop().time(),
            dice=need.dice,
            priority=need.priority,
        )
        if settings.how == "header":
            replica = prefill.pick_another(mine.now, self._dice, (writer,), mine)
            if replica is None:
                return self._alone(forward, settings, NOBODY)
            self._told(model, REMOTE)
            pairs = (*forward.set_headers, (HEADER, replica.host_port))
            told = msgspec.structs.replace(forward, set_headers=pairs)
            return Read(told, replica, Place(prefill, replica, mine))
        tried = [writer]
        try:
            async with asyncio.timeout(settings.timeout_s):
                found = await self._read(forward, prefill, mine, tried)
        except TimeoutError:
            prefill.failed(tried[-1], asyncio.get_running_loop().time())
            found = None
        except _Theirs:
            self._told(model, FAILED)
            return Read(forward)
        if found is None:
            return self._alone(forward, settings, FAILED if tried[1:] else NOBODY)
        self._told(model, REMOTE)
        edit = Edit(forward.body)
        edit.set("kv_transfer_params", found)
        return Read(msgspec.structs.replace(forward, body=edit.encode(), changed=True), tried[-1])

    async def _read(
        self, forward: Forward, pool: Pool, need: Need, tried: list[Replica]
    ) -> dict[str, object] | None:
        """Ask one prefill server after the other; whoever is asked is the last of ``tried``."""
        edit = Edit(forward.body)
        for name in _DROPPED:
            edit.drop(name)
        edit.set("max_tokens", 1)
        edit.set("stream", False)
        edit.set("kv_transfer_params", _NOTHING_YET)
        body = edit.encode()
        while True:
            need.now = asyncio.get_running_loop().time()
            replica = pool.pick_another(need.now, self._dice, tried, need)
            if replica is None:
                return None
            tried.append(replica)
            try:
                return await self._ask(forward, pool, replica, body, need)
            except (AskFailed, DialError):
                continue

    async def _ask(
        self, forward: Forward, pool: Pool, replica: Replica, body: bytes, need: Need
    ) -> dict[str, object] | None:
        """The transfer parameters of a prompt that ``replica`` has read; ``None`` where it read
        it and does not say where its cache is."""
        answer = await self._calls.to(pool, replica, forward, body, need)
        if answer.status in _THEIRS:
            raise _Theirs
        if not 200 <= answer.status < 300:
            raise AskFailed(f"{replica.name} answered {answer.status}")
        try:
            params = _decode(bytes(answer.body)).kv_transfer_params
        except UNREADABLE:
            return None
        if not params:
            return None
        if not params.get("remote_host"):
            params["remote_host"] = replica.address.host
        return params

    def _alone(self, forward: Forward, settings: DisaggregationSettings, why: str) -> Read:
        self._told(forward.target.name, why)
        if settings.without == "refuse":
            raise NoPrefill
        return Read(forward)


class _Said(msgspec.Struct):
    kv_transfer_params: dict[str, object] | None = None


class _Asked(msgspec.Struct):
    kv_transfer_params: object = None
    n: object = None
    best_of: object = None
    prompt: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Said).decode
_shape = msgspec.json.Decoder(_Asked).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _splits(forward: Forward) -> bool:
    """Whether there is one prompt and one answer: transfer parameters are of one request, and its
    cache is given up once it was fetched (vLLM issue 38900 for ``n``)."""
    if forward.target.protocol != "openai" or not forward.path.partition("?")[0].endswith(_PATHS):
        return False
    try:
        asked = _shape(forward.body)
    except UNREADABLE:
        return False
    alone = all([count is None or count == 1 for count in (asked.n, asked.best_of)])
    return alone and asked.kv_transfer_params is None and not _several(bytes(asked.prompt))


def _several(prompt: bytes) -> bool:
    """Whether these are several prompts: texts, or lists of tokens."""
    if not prompt.startswith(b"[") or prompt[1:64].lstrip()[:1].isdigit():
        return False
    try:
        return len(_list(prompt)) > 1
    except UNREADABLE:
        return True
