"""What servers say they serve (`/v1/models`): who does not serve the model is left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from wayside.fleet.page import PageError
from wayside.fleet.probe import Tell, set_down
from wayside.fleet.replica import Replica
from wayside.fleet.rounds import Rounds, Visit, pools
from wayside.settings.model import ModelSettings

if TYPE_CHECKING:
    from wayside.fleet import Fleet

MODELS: Final = "models"
MOST_BYTES: Final = 1 << 20
MOST_ADAPTERS: Final = 4096
LONGEST_NAME: Final = 128
"""Characters of a name that are shown."""
AGAIN_S: Final = 1.0
"""A server that no longer lists its model is asked once more after this, before that counts:
lists are short for a moment while servers start."""

Headers = Callable[[str, ModelSettings], Mapping[str, str]]
"""What goes with a question to a model's servers: their key."""


class _Model(msgspec.Struct):
    id: str
    parent: str | None = None
    """Of an adapter, the model that it belongs to (vLLM)."""


class _List(msgspec.Struct):
    data: list[_Model]


class ModelsSeen:
    """Leaves servers out that do not serve the model they are configured for, as they say twice.

    One that lists the model, or one of its adapters, by the name that requests give it, serves
    it. A list that cannot be read tells nothing. Adapters of the model that it lists are those
    that it runs, as far as its metrics say nothing of adapters.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        headers: Headers = lambda *_: {},
        tell: Tell = lambda *_: None,
        failed: Callable[[str], None] = lambda _: None,
        dice: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._fleet, self._headers, self._tell, self._failed = fleet, headers, tell, failed
        self._rounds = Rounds(fleet, _every, self._ask, self._let_go, dice=dice)

    async def run(self) -> None:
        """For as long as the task lives."""
        await self._rounds.run()

    async def _ask(
        self, model: str, settings: ModelSettings, replica: Replica, visit: Visit
    ) -> None:
        check = settings.check_models
        if check is None:
            return
        path = (replica.address.base_path or "/v1") + "/models"
        try:
            page = await visit.pages.text(
                path,
                timeout_s=check.timeout_s,
                most=MOST_BYTES,
                headers=self._headers(model, settings),
            )
            listed = msgspec.json.decode(page, type=_List).data
        except (PageError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            visit.troubled = isinstance(error, PageError)
            self._failed(error.reason if isinstance(error, PageError) else "content")
            return
        visit.troubled = False
        name = settings.upstream_name or model
        ours = {name, *(lora.name for lora in settings.loras)}
        serves = any(m.id in ours for m in listed)
        visit.misses = 0 if serves else visit.misses + 1
        if visit.misses == 1 and MODELS not in replica.down:
            soon = asyncio.get_running_loop().time() + AGAIN_S
            visit.next_at = min(visit.next_at, soon)
            return
        if serves != (MODELS not in replica.down):
            set_down(self._fleet, replica, MODELS, down=not serves)
            said = ", ".join([m.id[:LONGEST_NAME] for m in listed[:8]]) or "nothing"
            what = "server is back" if serves else "server left out"
            self._tell(what, model, replica, f"it serves {said}; wanted is {name}")
        mine = (m.id for m in listed if m.parent == name or (m.id in ours and m.id != name))
        adapters = frozenset(islice(mine, MOST_ADAPTERS))
        vitals = replica.vitals
        if not vitals.max_loras and vitals.loras != adapters:
            replica.vitals = replace(vitals, loras=adapters)
            for _, pool in pools(self._fleet):
                pool.refresh()

    def _let_go(self, replica: Replica) -> None:
        if MODELS in replica.down:
            set_down(self._fleet, replica, MODELS, down=False)


def _every(settings: ModelSettings) -> float | None:
    return None if settings.check_models is None else settings.check_models.interval_s
