"""Prompts that one server reads so that another writes the answer (spec 2.2, 4.3).

Two steps: the request goes to a prefill server, for one token; what that says in
``kv_transfer_params`` goes with the request to the decode server, which fetches the prompt's KV
cache instead of computing it. Or the decode server's own sidecar does that, and is told where.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from wayside.dialects import Edit
from wayside.fleet import DialError, Dice, Pool, Replica
from wayside.net.h1 import Answer
from wayside.settings.disaggregation import DisaggregationSettings
from wayside.vocab.endpoint import Need
from wayside.vocab.errors import AskFailed, RequestError
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
_MANY: Final = ("max_completion_tokens", "min_tokens", "stream_options")
REMOTE, SHORT, NOBODY, FAILED = "remote", "decode_short", "decode_no_server", "decode_failed"
"""What was decided of a prompt, for the metric."""


class Sends(Protocol):
    """Asks one server: :class:`wayside.runtime.calls.Calls`."""

    async def to(
        self, pool: Pool, replica: Replica, forward: Forward, body: bytes, need: Need | None
    ) -> Answer: ...


class NoPrefill(Exception):
    """No prefill server took the prompt, and the settings say that none else may."""


class Prefill:
    """``told`` hears of every decision: the model and what was decided."""

    def __init__(self, calls: Sends, dice: Dice, told: Callable[[str, str], None]) -> None:
        self._calls, self._dice, self._told = calls, dice, told

    def wanted(self, forward: Forward, pool: Pool, need: Need) -> bool:
        """Whether a prompt is to be read elsewhere than at the server picked for its answer."""
        settings = pool.settings.disaggregation
        if settings is None or pool.prefill is None or not _splits(forward):
            return False
        if _uncached(need) < settings.min_tokens:
            self._told(forward.target.name, SHORT)
            return False
        return True

    async def run(self, forward: Forward, pool: Pool, need: Need) -> Forward:
        """The request as it goes to the decode server. Raises :class:`NoPrefill`."""
        settings, prefill = pool.settings.disaggregation, pool.prefill
        assert settings is not None
        assert prefill is not None
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
            replica = prefill.pick(mine.now, self._dice, (), mine)
            if replica is None or replica.out_until > mine.now:
                return self._alone(forward, settings, NOBODY)
            if prefill.profile is not None:
                prefill.profile.chosen(mine, replica)
                prefill.profile.ended(mine, replica)
            self._told(model, REMOTE)
            pairs = (*forward.set_headers, (HEADER, replica.host_port))
            return msgspec.structs.replace(forward, set_headers=pairs)
        tried: tuple[Replica, ...] = ()
        while True:
            now = asyncio.get_running_loop().time()
            replica = prefill.pick_another(now, self._dice, tried, mine)
            if replica is None:
                return self._alone(forward, settings, FAILED if tried else NOBODY)
            try:
                async with asyncio.timeout(settings.timeout_s):
                    params = await self._ask(forward, prefill, replica, mine)
            except (AskFailed, DialError, TimeoutError):
                tried += (replica,)
                continue
            if params is None:
                return self._alone(forward, settings, FAILED)
            self._told(model, REMOTE)
            edit = Edit(forward.body)
            edit.set("kv_transfer_params", params)
            return msgspec.structs.replace(forward, body=edit.encode(), changed=True)

    async def _ask(
        self, forward: Forward, pool: Pool, replica: Replica, need: Need
    ) -> dict[str, object] | None:
        """The transfer parameters of a prompt that ``replica`` has read; ``None`` where it read
        it and does not say where its cache is, or refused it."""
        edit = Edit(forward.body)
        for name in _MANY:
            edit.drop(name)
        edit.set("max_tokens", 1)
        edit.set("stream", False)
        edit.set("kv_transfer_params", _NOTHING_YET)
        answer = await self._calls.to(pool, replica, forward, edit.encode(), need)
        if answer.status >= 500 or answer.status == 429:
            raise AskFailed(f"{replica.name} answered {answer.status}")
        if answer.status >= 300:
            return None  # the decode server will say the same to the client, in its own words
        try:
            params = _decode(bytes(answer.body)).kv_transfer_params
        except msgspec.MsgspecError:
            return None
        if not params:
            return None
        if not params.get("remote_host"):
            params["remote_host"] = replica.address.host
        return params

    def _alone(self, forward: Forward, settings: DisaggregationSettings, why: str) -> Forward:
        self._told(forward.target.name, why)
        if settings.without == "refuse":
            raise NoPrefill
        return forward


class _Said(msgspec.Struct):
    kv_transfer_params: dict[str, object] | None = None


_decode = msgspec.json.Decoder(_Said).decode


def _splits(forward: Forward) -> bool:
    if forward.target.protocol != "openai" or not forward.path.partition("?")[0].endswith(_PATHS):
        return False
    try:
        return "kv_transfer_params" not in Edit(forward.body).fields
    except RequestError:
        return False


def _uncached(need: Need) -> int:
    """Tokens of the prompt that the server picked for it has not cached, as far as is known."""
    share: float = need.memo.get("hit", 0.0)
    return round(need.tokens * (1.0 - share))
