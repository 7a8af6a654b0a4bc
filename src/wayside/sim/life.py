"""Whether a server answers at all: it may hang, or sleep, and do so again."""

import asyncio


class Life:
    """Hung, a server accepts connections and is silent on them, probes and streams included.

    Asleep (vLLM's sleep mode), it answers everything but requests for generation.
    """

    def __init__(self) -> None:
        self.asleep = False
        self._back: asyncio.Event | None = None

    @property
    def hung(self) -> bool:
        return self._back is not None

    def hang(self) -> None:
        """Be silent until `revive`."""
        if self._back is None:
            self._back = asyncio.Event()

    def revive(self) -> None:
        """Answer again, also those who have waited."""
        if self._back is not None:
            self._back.set()
            self._back = None

    async def answers(self) -> None:
        """Return once the server answers: at once, unless it hangs."""
        while self._back is not None:
            await self._back.wait()
