"""LoRA adapters of one engine: which there are, which are on the GPU, who runs and who waits.

At most `limit` different ones run at once. One that is not on the GPU takes the place of the one
least recently used, and its first request waits until it is there.
"""

from collections import Counter, OrderedDict

from .metrics import Sample


class Adapters:
    """`limit` 0 is an engine without LoRA."""

    def __init__(self, names: tuple[str, ...], limit: int, load_s: float) -> None:
        self.limit = limit
        self._load_s = load_s
        self._given = dict.fromkeys(names, "")
        self.paths = dict(self._given)
        """Where each adapter there is was loaded from, by its name."""
        self._on_gpu: OrderedDict[str, float] = OrderedDict()  # when it is there, oldest use first
        self._running: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    @property
    def on_gpu(self) -> tuple[str, ...]:
        """Those that cost no loading, the least recently used first."""
        return tuple(self._on_gpu)

    def admits(self, name: str | None) -> bool:
        """Whether a request for it may run beside those that run."""
        return name is None or name in self._running or len(self._running) < self.limit

    def wait(self, name: str | None, by: int) -> None:
        """One request more (1) or less (-1) waits for it."""
        _count(self._waiting, name, by)

    def start(self, name: str | None, now: float) -> None:
        """A request for it gets a slot."""
        if name is not None:
            _count(self._running, name, 1)
            self._bring(name, now)

    def ready_at(self, name: str | None, now: float) -> float:
        """When an adapter that has started is there: `now` or later."""
        return now if name is None else max(now, self._on_gpu.get(name, now))

    def stop(self, name: str | None) -> None:
        """A request for it is over."""
        _count(self._running, name, -1)

    def load(self, name: str, path: str, now: float) -> None:
        """Make it known, and bring it to the GPU if there is room."""
        self.paths[name] = path
        if len(self._on_gpu) < self.limit or any(n not in self._running for n in self._on_gpu):
            self._bring(name, now)

    def unload(self, name: str) -> None:
        """Forget it; requests that run with it go on."""
        del self.paths[name]
        self._on_gpu.pop(name, None)

    def restart(self) -> None:
        """Only the adapters given at the start are there, and none is on the GPU."""
        self.paths = dict(self._given)
        self._on_gpu.clear()

    def samples(self, today: float) -> list[Sample]:
        """vLLM's `lora_requests_info`: the value is the Unix time, the facts are labels."""
        if not self.limit:
            return []
        facts = {
            "max_lora": str(self.limit),
            "running_lora_adapters": ",".join(sorted(self._running)),
            "waiting_lora_adapters": ",".join(sorted(self._waiting)),
        }
        # vLLM gives this one family neither a model name nor an engine number.
        return [("", facts, today)]

    def _bring(self, name: str, now: float) -> None:
        if name not in self._on_gpu:
            while len(self._on_gpu) >= self.limit:
                idle = next((n for n in self._on_gpu if n not in self._running), None)
                if idle is None:
                    break
                del self._on_gpu[idle]
            self._on_gpu[name] = now + self._load_s
        self._on_gpu.move_to_end(name)


def _count(counter: Counter[str], name: str | None, by: int) -> None:
    if name is not None:
        counter[name] += by
        if not counter[name]:
            del counter[name]
