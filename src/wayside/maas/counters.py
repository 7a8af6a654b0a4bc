"""Counters of what users took: set aside at once, settled when it is known.

A **window** begins with the first request after the last one was over, and is empty again when it
ends. What a request takes belongs to the window in which it was let in, however long its answer
lasts: a window that is over gets no more charges. All the limits of a request are asked in one
step, and nothing is taken where one of them has no room.

A **hold** is what one request set aside. It is settled once, with what was really taken; settling
it again, or one that nobody knows, changes nothing, so that whoever is not sure may ask again.
After ``hold_s`` a hold gives back what it held, for nobody may be left to settle it; a settlement
that comes later still counts, for :data:`LATE` times as long.

This file has the port and the counters of one process; :mod:`wayside.maas.counters_redis` those
that routers share, in the same words.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from wayside.vocab.errors import AskFailed

REQUESTS: Final = "requests"
"""The kind of what is not held, but taken at once."""
LATE: Final = 4
MAX_ACCOUNTS: Final = 1_000_000
"""Users of one process with a window that is not over; more are refused."""
SOON_S: Final = 1.0
"""When to ask again where all that is in the way is other requests that are under way."""
_SWEEP: Final = 2
"""Accounts looked at, at each request, that may be forgotten."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``size`` of a ``kind`` in a window of ``window_s`` seconds. Limits of the same kind and
    window count together, whatever their size, so that of two a request is asked about one."""

    kind: str
    size: int
    window_s: int
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.kind}:{self.window_s}")


class Granted(NamedTuple):
    """What was taken of each limit, what remains of it, and in how many seconds it is whole."""

    amounts: tuple[int, ...]
    left: tuple[tuple[int, float], ...]


class Full(NamedTuple):
    """The limit that has no room, by its place; of several, the one that takes longest. ``busy``:
    it is not used up, but requests that are under way may take the rest."""

    at: int
    remaining: int
    retry_after_s: float
    busy: bool = False


class Counters(Protocol):
    at_once: bool
    """Whether they are asked without waiting."""

    def reserve(
        self,
        account: str,
        id: str,
        limits: Sequence[Limit],
        amounts: Sequence[int],
        *,
        strict: bool,
    ) -> Granted | Full | Awaitable[Granted | Full]:
        """Take of each of ``limits`` its amount, or nothing of any. Unless ``strict``, who wants
        more than there is takes what there is, where nothing else is held of that window. ``id``
        is used once.

        Raises :class:`AskFailed`.
        """
        ...

    def settle(
        self, account: str, id: str, took: Mapping[str, int] | None
    ) -> Awaitable[None] | None:
        """What the hold ``id`` took, by kind; kinds it does not name took nothing. ``None``: as
        much as was held. Raises :class:`AskFailed`, and may be asked again."""
        ...


class _Window:
    __slots__ = ("ends", "held", "holds", "used")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.used = self.held = self.holds = 0


_Part = tuple[str, int, _Window]
"""What a hold has of one window: its kind, how much, and which."""


class _Hold:
    __slots__ = ("expires", "lapsed", "parts")

    def __init__(self, expires: float, parts: list[_Part]) -> None:
        self.expires, self.parts = expires, parts
        self.lapsed = False
        """Whether it has given back what it held."""

    def let_go(self) -> None:
        for _, amount, window in self.parts:
            window.held -= amount
            window.holds -= 1


class _Account:
    __slots__ = ("holds", "next", "windows")

    def __init__(self) -> None:
        self.windows: dict[str, _Window] = {}
        self.holds: dict[str, _Hold] = {}
        self.next = 0.0
        """When the first of its holds expires."""

    def over(self, now: float) -> bool:
        """Whether nothing that it has counts any more: holds are of windows."""
        return all([window.ends <= now for window in self.windows.values()])


class MemoryCounters:
    """The counters of this process alone. ``clock`` gives seconds, and never goes back."""

    at_once = True

    def __init__(self, clock: Callable[[], float], hold_s: float) -> None:
        self.clock, self.hold_s = clock, hold_s
        self.most = MAX_ACCOUNTS
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    def __len__(self) -> int:
        return len(self._accounts)

    def reserve(
        self,
        account: str,
        id: str,
        limits: Sequence[Limit],
        amounts: Sequence[int],
        *,
        strict: bool,
    ) -> Granted | Full:
        now = self.clock()
        found = self._account(account, now)
        if found.holds and found.next <= now:
            self._expire(found, now)
        taken: list[tuple[Limit, int, _Window]] = []
        full: Full | None = None
        for limit, amount in zip(limits, amounts, strict=True):
            window = found.windows.get(limit.name)
            if window is None or window.ends <= now:
                window = _Window(now + limit.window_s)
            left = limit.size - window.used - window.held
            if amount > left:
                if limit.kind != REQUESTS and left > 0 and not window.holds and not strict:
                    amount = left
                else:
                    busy = limit.size > window.used and window.holds > 0
                    wait = SOON_S if busy else window.ends - now
                    if full is None or wait > full.retry_after_s:
                        full = Full(len(taken), left, wait, busy)
            taken.append((limit, amount, window))
        return self._take(found, id, taken, now) if full is None else full

    def _take(
        self, found: _Account, id: str, taken: list[tuple[Limit, int, _Window]], now: float
    ) -> Granted:
        parts: list[_Part] = []
        left = []
        for limit, amount, window in taken:
            found.windows[limit.name] = window
            if limit.kind == REQUESTS:
                window.used += amount
            else:
                window.held += amount
                window.holds += 1
                parts.append((limit.kind, amount, window))
            left.append((limit.size - window.used - window.held, window.ends - now))
        if parts:
            expires = now + self.hold_s
            found.next = min(found.next, expires) if found.holds else expires
            found.holds[id] = _Hold(expires, parts)
        return Granted(tuple([amount for _, amount, _ in taken]), tuple(left))

    def settle(self, account: str, id: str, took: Mapping[str, int] | None) -> None:
        found = self._accounts.get(account)
        hold = found.holds.pop(id, None) if found is not None else None
        if hold is None:
            return
        if not hold.lapsed:
            hold.let_go()
        for kind, amount, window in hold.parts:
            window.used += amount if took is None else took.get(kind, 0)

    def _account(self, name: str, now: float) -> _Account:
        accounts = self._accounts
        for _ in range(_SWEEP):
            if not accounts:
                break
            oldest = next(iter(accounts))
            if oldest == name or not accounts[oldest].over(now):
                accounts.move_to_end(oldest)
                continue
            del accounts[oldest]
        found = accounts.get(name)
        if found is None:
            if len(accounts) >= self.most:
                raise AskFailed("too many users at once to count what each takes")
            found = accounts[name] = _Account()
        return found

    def _expire(self, account: _Account, now: float) -> None:
        soonest = float("inf")
        for id, hold in list(account.holds.items()):
            if hold.expires <= now:
                if hold.lapsed:
                    del account.holds[id]
                    continue
                hold.let_go()
                hold.lapsed = True
                hold.expires += LATE * self.hold_s
            soonest = min(soonest, hold.expires)
        account.next = soonest
