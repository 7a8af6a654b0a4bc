"""Our own writes, which a watch tells us of like anybody's: nobody is asked again for them.

The watch may tell before the write's answer has come, so what is told of an object that is being
written is put aside until it is known which version the write made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wayside.kube.cache import Cache
from wayside.kube.client import Object
from wayside.operator.looks import Asker, Look
from wayside.vocab.objects import section, text


class Write:
    """One write under way, for :attr:`asker`."""

    def __init__(self, cache: Cache, look: Look, asker: Asker) -> None:
        self.asker, self.told = asker, set[str]()
        self._cache, self._look = cache, look

    def gave(self, found: Object | None) -> None:
        """What the server answered: the object as it is now, or that it is gone (``None``)."""
        if found is None:
            self._cache.forget(*self._look)
            self.told.discard("")
        else:
            self._cache.learn(self._look[0], found)
            self.told.discard(text(section(found, "metadata").get("resourceVersion")))


class OwnWrites:
    """Those under way. ``enqueue`` hears of objects that are to be asked again after all."""

    def __init__(
        self,
        cache: Cache,
        asker_of: Callable[[str], Asker | None],
        enqueue: Callable[[tuple[Asker]], None],
    ) -> None:
        """``asker_of``: the object of ours with this uid."""
        self._cache, self._asker_of, self._enqueue = cache, asker_of, enqueue
        self._writes: dict[Look, Write] = {}

    @contextmanager
    def writing(self, look: Look, found: Object) -> Iterator[Write]:
        """``look`` is written for ``found`` within. Leaving it tells ``found`` of all that came
        of others meanwhile."""
        asker = self._asker_of(found["metadata"]["uid"])
        if asker is None or look in self._writes:  # deleted meanwhile; or two want the same
            yield Write(self._cache, look, ("", "", ""))
            return
        write = self._writes[look] = Write(self._cache, look, asker)
        try:
            yield write
        finally:
            del self._writes[look]
            if write.told:
                self._enqueue((asker,))

    def told(self, look: Look, version: str) -> Asker | None:
        """``look`` has this version now (empty: it is gone): who need not hear of it yet."""
        write = self._writes.get(look)
        if write is None:
            return None
        write.told.add(version)
        return write.asker
