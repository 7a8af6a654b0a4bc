"""From a token of ours to who asks with it: minted tokens and API keys, the rights of their tier,
and what of that is remembered for how long."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

from wayside.maas import names
from wayside.maas.jose import BadToken
from wayside.maas.keys import PREFIX, Keys, Person
from wayside.maas.people import CONSOLE, SOURCE
from wayside.maas.tiers import Tiers
from wayside.vocab.access import Caller
from wayside.vocab.errors import AskFailed

MOST: Final = 10_000
"""Tokens that are remembered, and as many that were refused."""
REFUSED_S: Final = 5.0
"""For how long a token that was refused is refused without asking again."""
USED_S: Final = 60.0
"""How often the last use of a key is written down."""


class Owner(NamedTuple):
    """Whose token it is. ``space`` and ``name`` are their ServiceAccount; ``ends`` is the token's,
    in seconds since 1970, and ``key`` its name."""

    person: Person
    space: str
    name: str
    key: str
    ends: float
    subscription: str = ""
    uid: str = ""
    """Of the account, where it is known here."""


class Minter(Protocol):
    """Makes tokens for accounts, and knows its own again."""

    def ours(self, token: str) -> bool:
        """Whether it looks like one of ours; nothing is proven by that."""
        ...

    async def owner(self, token: str) -> Owner | None:
        """``None`` for one that is not believed. Raises :class:`AskFailed`."""
        ...


class Rights(Protocol):
    """Which configured models may answer somebody."""

    async def models(self, owner: Owner, tier: str) -> tuple[frozenset[str], float]:
        """Also for how many seconds that holds. Raises :class:`AskFailed` where nobody can
        say."""
        ...


class Entry(NamedTuple):
    """What is remembered of a token; ``None`` as caller: it was refused."""

    caller: Caller | None
    epoch: int
    until: float


class Callers:
    """``recall`` is for every request, ``find`` for the first one of a token and now and then."""

    def __init__(
        self,
        keys: Keys,
        minter: Minter,
        tiers: Callable[[], Tiers],
        rights: Callable[[], Rights],
        users: Callable[[], dict[str, Person]],
        *,
        instance: str,
        cache_s: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._minter = keys, minter
        self._tiers, self._rights, self._users = tiers, rights, users
        self._instance, self._cache_s, self._clock = instance, cache_s, clock
        self._known: OrderedDict[bytes, Entry] = OrderedDict()
        self._refused: OrderedDict[bytes, Entry] = OrderedDict()
        self._asking: dict[tuple[bytes, int, int], asyncio.Task[Caller | None]] = {}
        """One question for all who show the same token at the same time."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._generation = 0
        self.fault: Callable[[str], None] = lambda why: None
        self.remote: Callable[[str], Awaitable[Owner | None]] | None = None
        """Asked about keys that are not found here."""
        self.only_users = False
        """Nobody but the settings says who people are."""

    def recall(self, token: str) -> Entry | None:
        """What is known of ``token`` without asking anybody, and still holds."""
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        entry = self._known.get(digest)
        good = entry is not None and 0 < entry.until - now <= self._cache_s()  # the clock may jump
        if entry is not None and good and entry.epoch == self._keys.fresh():
            return entry
        entry = self._refused.get(digest)
        return entry if entry is not None and 0 < entry.until - now <= REFUSED_S else None

    async def find(self, token: str) -> Caller | None:
        """Who asks; ``None`` for a token that is not believed, or whose owner may ask nothing any
        more. Raises :class:`AskFailed` where nobody can say."""
        epoch = await self._keys.epoch()
        entry = self.recall(token)
        if entry is not None:
            return entry.caller
        asking = (hashlib.sha256(token.encode()).digest(), epoch, self._generation)
        task = self._asking.get(asking)
        if task is None:
            task = self._asking[asking] = asyncio.ensure_future(
                self._find(token, epoch, self._generation)
            )
            task.add_done_callback(lambda task: self._found(asking, task))
        return await asyncio.shield(task)

    def _found(self, asking: tuple[bytes, int, int], task: asyncio.Task[Caller | None]) -> None:
        del self._asking[asking]
        if not task.cancelled():
            task.exception()  # told to whoever waits

    async def _find(self, token: str, epoch: int, generation: int) -> Caller | None:
        """``epoch`` is from before anything was asked: a revocation meanwhile counts."""
        owner = await self.owner(token)
        now = self._clock()
        if owner is None:
            self._remember(self._refused, token, Entry(None, 0, now + REFUSED_S))
            return None
        caller, left = await self._caller(owner)
        until = min(now + min(self._cache_s(), left), owner.ends)
        if generation == self._generation:
            self._remember(self._known, token, Entry(caller, epoch, until))
        return caller

    async def owner(self, token: str) -> Owner | None:
        """Whose token of ours it is. Raises :class:`AskFailed`."""
        if token.startswith(PREFIX):
            owner = await self._of_key(token)
        else:
            try:
                owner = await self._minter.owner(token) if self._minter.ours(token) else None
            except BadToken:
                owner = None
        if owner is None or owner.ends <= self._clock():
            return None
        user = self._users().get(owner.person.user)
        if owner.person.source == SOURCE:  # the settings say what is so now
            return None if user is None else self._in_tier(owner._replace(person=user))
        return owner if user is None else None  # the name is another's by now

    async def again(self, caller: Caller) -> Caller | None:
        """``caller`` with the groups, the tier and the rights of this moment; without a tier, for
        whom has none any more. ``None``: what they showed was revoked. Raises
        :class:`AskFailed`."""
        if not await self._stands(caller):
            return None
        now = self._users().get(caller.user)
        groups = caller.groups
        if self.only_users and not await self._program(caller):
            groups = ()  # whoever left has no rights left
        person = now or Person(caller.user, groups, "")
        owner = self._in_tier(Owner(person, "", "", caller.key, math.inf, uid=caller.account))
        return (await self._caller(owner))[0]

    async def _stands(self, caller: Caller) -> bool:
        """Whether the token or key was not revoked meanwhile. That its time is over is no reason
        to stop what it began."""
        if caller.account:
            return await self._keys.lives(caller.account)
        key = await self._keys.get(caller.key) if caller.key else None
        return key is None or key.revoked_at is None

    async def _program(self, caller: Caller) -> bool:
        """Whether it is a program, whose key says all there is to say of it."""
        key = await self._keys.get(caller.key) if caller.key and not caller.account else None
        return key is not None and key.person.source == CONSOLE

    def forget(self) -> None:
        """Tiers, models or people are others now: ask again about everybody."""
        self._generation += 1
        self._known.clear()
        self._refused.clear()

    async def _of_key(self, token: str) -> Owner | None:
        key = await self._keys.find(token)
        now = self._clock()
        if key is None and self.remote is not None:
            found = await self.remote(token)
            return None if found is None else self._in_tier(found)
        if key is None or key.status(now) != "active":
            return None
        if now - (key.used_at or 0) >= USED_S:
            self._later(self._keys.used(key.id, int(now)))
        owner = Owner(key.person, "", "", key.id, key.expires_at)
        return self._in_tier(owner)

    def _in_tier(self, owner: Owner) -> Owner:
        """With the account that its groups lead to now."""
        tier = self._tiers().lookup(owner.person.groups)
        space = names.namespace(self._instance, tier.name) if tier else ""
        return owner._replace(space=space, name=names.account(owner.person.user))

    async def _caller(self, owner: Owner) -> tuple[Caller, float]:
        """As whom the owner of a token asks, and for how many seconds that holds."""
        tier = self._tiers().lookup(names.groups(owner.space)) if owner.space else None
        level = tier.name if tier else ""
        models, left = frozenset[str](), self._cache_s()
        if level:
            models, left = await self._rights().models(owner, level)
        caller = Caller(
            user=owner.person.user,
            groups=owner.person.groups,
            tier=level,
            subscription=owner.subscription,
            tenant=self._instance,
            key=owner.key,
            models=models,
            account=owner.uid,
        )
        return caller, left

    @staticmethod
    def _remember(into: OrderedDict[bytes, Entry], token: str, entry: Entry) -> None:
        digest = hashlib.sha256(token.encode()).digest()
        into[digest] = entry
        into.move_to_end(digest)
        while len(into) > MOST:
            into.popitem(last=False)

    def _later(self, coroutine: Any) -> None:
        """Nobody waits for it."""
        if len(self._tasks) >= 100:
            coroutine.close()
            return
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(task.exception(), AskFailed):
            self.fault(str(task.exception()))
