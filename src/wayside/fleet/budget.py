"""How much more than was asked for may be sent: retries and hedges, as a share of the requests."""

from __future__ import annotations

from math import ceil


class Window:
    """Counts what happened in about the last ``seconds``, in two numbers.

    The count of the current fixed window, and of the one before in proportion to how much of it
    the sliding one still covers (the sliding-window counter of rate limiters).
    """

    __slots__ = ("before", "count", "seconds", "start")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = self.before = self.count = 0.0

    def add(self, now: float) -> None:
        if now - self.start >= self.seconds:
            self.turn(now)
        self.count += 1

    def total(self, now: float) -> float:
        if now - self.start >= self.seconds:
            self.turn(now)
        return self.count + self.before * (1 - (now - self.start) / self.seconds)

    def turn(self, now: float) -> None:
        passed = int((now - self.start) / self.seconds)
        self.before = self.count if passed == 1 else 0.0
        self.count = 0.0
        self.start += passed * self.seconds


class Budget:
    """Extra attempts: at most ``share`` of the requests of the last ``window_s``, or ``at_least``
    of them where that is more."""

    __slots__ = ("_at_least", "_extra", "_requests", "_share")

    def __init__(self, share: float, at_least: int, window_s: float) -> None:
        self._share, self._at_least = share, at_least
        self._requests, self._extra = Window(window_s), Window(window_s)

    def request(self, now: float) -> None:
        """A request came."""
        window = self._requests
        if now - window.start >= window.seconds:
            window.turn(now)
        window.count += 1

    def spend(self, now: float) -> bool:
        """Take one extra attempt, if there is one left."""
        # Rounded up: a request that came just before the window turned still counts as one.
        allowed = max(self._at_least, self._share * ceil(self._requests.total(now)))
        if self._extra.total(now) + 1 > allowed:
            return False
        self._extra.add(now)
        return True
