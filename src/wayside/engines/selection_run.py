"""Runs trained selectors: reads their files once and answers what the models did nearby."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from wayside.engines import selection_file
from wayside.engines.base import Engine, Vectors
from wayside.engines.selection_file import PROBE, UNMEASURED, Floats, Learnt
from wayside.settings.problems import suggest
from wayside.vocab.ask import Ask
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.taught import Nearest, Outcome, Scored, Taught

MAX_AT_ONCE: Final = 1_000_000
"""Numbers up to which a comparison is made on the caller's thread: a quarter of a millisecond."""
SAME: Final = 0.999
"""The least cosine of the probe's vector to that of the training: rounding, and no more."""


class Model:
    """A trained selector ready to run. Works on features, knows nothing of engines."""

    def __init__(self, learnt: Learnt) -> None:
        self.learnt = learnt
        self.arrays = learnt.arrays
        self._places = {name: i for i, name in enumerate(learnt.categories)}
        self.size = sum(a.size for a in self.arrays.values())
        points = self.arrays.get("points")
        if points is not None:
            self._lengths = (points * points).sum(axis=1)
        if "seconds" in self.arrays:
            seconds = self.arrays["seconds"]
            slowest = max(float(seconds.max()), 1e-9)
            self._speed = np.where(seconds == UNMEASURED, UNMEASURED, 1 - seconds / slowest)

    def features(self, vector: NDArray[np.float32], category: str) -> Floats:
        """The embedding, and behind it 1 at the category; an unknown one is none of them."""
        own = np.zeros(self.learnt.features, np.float32)
        own[: len(vector)] = vector
        place = self._places.get(category)
        if place is not None:
            own[len(vector) + place] = 1.0
        return own

    def nearest(self, x: Floats, most: int, columns: tuple[int, ...]) -> tuple[Outcome, ...]:
        """What the models of ``columns`` did with the ``most`` nearest points, nearest first."""
        points, quality = self.arrays["points"], self.arrays["quality"]
        products = points @ x
        far = self._lengths - 2 * products
        count = min(most, len(far))
        near = np.argpartition(far, count - 1)[:count]
        near = near[np.lexsort((near, far[near]))]
        own = float(x @ x)
        return tuple(
            Outcome(
                float(products[i]) / max(float(self._lengths[i]) * own, 1e-12) ** 0.5,
                _told(quality[i], columns),
                _told(self._speed[i], columns),
            )
            for i in near
        )

    def scores(self, x: Floats, columns: tuple[int, ...]) -> tuple[float, ...]:
        """The scores of the models of ``columns``."""
        a = self.arrays
        if self.learnt.algorithm == "svm":
            far = np.maximum(self._lengths - 2 * (a["points"] @ x) + float(x @ x), 0)
            found = np.exp(-a["gamma"][0] * far) @ a["weights"] + a["biases"]
        else:
            hidden = np.maximum(x @ a["inner"] + a["inner_biases"], 0)
            sums = np.clip(hidden @ a["outer"] + a["outer_biases"], -60, 60)
            found = 1 / (1 + np.exp(-sums))
        return tuple([float(found[i]) for i in columns])


def _told(row: Floats, columns: tuple[int, ...]) -> tuple[float | None, ...]:
    return tuple([None if row[i] == UNMEASURED else float(row[i]) for i in columns])


class _Ready(NamedTuple):
    model: Model
    columns: tuple[int, ...]
    """Where the decision's models stand in the file."""


class Selectors:
    """The trained selectors of one router."""

    def __init__(self, engine: Callable[[str], Engine], vector: Callable[[str, str], Any]) -> None:
        """``engine`` finds an engine by name; ``vector`` embeds (engine, text), one row, now or
        later."""
        self._engine, self._vector = engine, vector
        self._ready: WeakKeyDictionary[Taught, _Ready] = WeakKeyDictionary()
        self._files: dict[str, tuple[tuple[int, int], Model]] = {}
        self._proved: set[tuple[str, str]] = set()
        """Files and embedders that were found to go together."""

    def answerers(self) -> dict[type[Ask[Any]], Any]:
        return {Nearest: self.nearest, Scored: self.scored}

    def load(self, taught: Taught) -> None:
        """Read and check the file now. Raises :class:`ConfigError` with what to do."""
        file = taught.file
        again = f"wayside train selection --algorithm {taught.algorithm} ROWS.jsonl -o {file}"
        try:
            model = self._read(file)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigError.one(
                f"cannot be read: {why}", where="file", fix=f"make it: `{again}`"
            ) from error
        except ValueError as error:
            raise ConfigError.one(str(error), where="file", fix=f"`{again}`") from error
        learnt = model.learnt
        if learnt.algorithm != taught.algorithm:
            raise ConfigError.one(
                f"{file} was trained for {learnt.algorithm}, not {taught.algorithm}",
                where="file",
                fix=f"write {learnt.algorithm} instead, or `{again}`",
            )
        unknown = [name for name in taught.models if name not in learnt.models]
        if unknown:
            raise ConfigError.one(
                f"{file} has never seen model {unknown[0]!r}, so it could never be chosen",
                where="file",
                fix=f"{suggest(unknown[0], learnt.models, 'it has seen')} "
                "or measure it and train again, or take it out of the decision's models",
            )
        self._ready[taught] = _Ready(
            model, tuple([learnt.models.index(name) for name in taught.models])
        )
        embed = self._engine(taught.embedder).embed
        if not inspect.iscoroutinefunction(embed):
            found = embed((PROBE,))
            assert isinstance(found, np.ndarray)
            try:
                self._prove(model, taught, found[0])
            except AskFailed as error:
                raise ConfigError.one(
                    str(error),
                    where="embedder",
                    fix=f"name the one it was trained with, or `{again}`",
                ) from error

    def nearest(self, q: Nearest) -> tuple[Outcome, ...] | Awaitable[tuple[Outcome, ...]]:
        found: tuple[Outcome, ...] | Awaitable[tuple[Outcome, ...]]
        found = self._answer(q, lambda on, x: on.model.nearest(x, q.most, on.columns))
        return found

    def scored(self, q: Scored) -> tuple[float, ...] | Awaitable[tuple[float, ...]]:
        found: tuple[float, ...] | Awaitable[tuple[float, ...]]
        found = self._answer(q, lambda on, x: on.model.scores(x, on.columns))
        return found

    def _answer(self, q: Nearest | Scored, work: Callable[[_Ready, Floats], Any]) -> Any:
        on = self._ready.get(q.taught)
        if on is None:  # a request that began under an earlier configuration, or `wayside route`
            try:
                self.load(q.taught)
            except ConfigError as error:
                raise AskFailed(str(error)) from error
            on = self._ready[q.taught]
        taught = q.taught
        proved = (taught.file, taught.embedder) in self._proved
        vector = self._vector(taught.embedder, q.text)
        if proved and isinstance(vector, np.ndarray) and on.model.size <= MAX_AT_ONCE:
            return work(on, on.model.features(vector[0], q.category))
        return asyncio.ensure_future(self._later(on, q, vector, work))

    async def _later(
        self,
        on: _Ready,
        q: Nearest | Scored,
        vector: Vectors | Awaitable[Vectors],
        work: Callable[[_Ready, Floats], Any],
    ) -> Any:
        taught = q.taught
        if (taught.file, taught.embedder) not in self._proved:
            probe = await _settled(self._engine(taught.embedder).embed((PROBE,)))
            self._prove(on.model, taught, probe[0])
        found = vector if isinstance(vector, np.ndarray) else await asyncio.shield(vector)
        x = on.model.features(found[0], q.category)
        if on.model.size <= MAX_AT_ONCE:
            return work(on, x)
        return await asyncio.to_thread(work, on, x)

    def _prove(self, model: Model, taught: Taught, vector: NDArray[np.float32]) -> None:
        """Raise :class:`AskFailed` where the embedder is not the one of the training."""
        wanted = model.learnt.probe
        if vector.shape != wanted.shape:
            raise AskFailed(
                f"{taught.file} was trained with {model.learnt.embedder!r}, whose vectors have "
                f"{len(wanted)} numbers; those of {taught.embedder!r} have {len(vector)}"
            )
        lengths = float(np.linalg.norm(wanted)) * float(np.linalg.norm(vector))
        if float(wanted @ vector) < SAME * lengths:
            raise AskFailed(
                f"{taught.file} was trained with {model.learnt.embedder!r}, whose vectors are not "
                f"those of {taught.embedder!r} here"
            )
        self._proved.add((taught.file, taught.embedder))

    def _read(self, file: str) -> Model:
        path = Path(file)
        held = path.stat()
        stamp = (held.st_mtime_ns, held.st_size)
        known = self._files.get(file)
        if known is None or known[0] != stamp:
            self._proved = {pair for pair in self._proved if pair[0] != file}
            known = self._files[file] = (stamp, Model(selection_file.read(path)))
        return known[1]


async def _settled(found: Vectors | Awaitable[Vectors]) -> Vectors:
    return await found if inspect.isawaitable(found) else found
