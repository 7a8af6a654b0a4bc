"""Transformers that read a text and answer at once: classifiers, token classifiers, embedders.

What the kinds that run such a model have in common: their settings, and the way from a text
through windows, a network and a head to an answer. A kind adds the network: `onnx`, `torch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from wayside.engines.base import Engine, Tools, Vectors
from wayside.engines.folder import Folder, find
from wayside.engines.heads import Head, Marking, Pooled, Pooling, Ranking, Word
from wayside.engines.pool import Pool
from wayside.engines.tokenise import Piece, Tokeniser
from wayside.engines.windows import Rows
from wayside.settings import Settings, Task
from wayside.vocab.ask import Labels, Spans
from wayside.vocab.errors import AskFailed

Ids = NDArray[np.int64]
Question = tuple[tuple[str, ...], str]
"""Texts, and the context they are read against."""
WINDOW = 512
"""Tokens read at once unless told otherwise: attention costs their square in time and memory."""
DEADLINES_MS: dict[Task, int] = {"classify": 2_000, "mark": 3_000, "embed": 2_000}
SHORT = 64
"""Up to this many texts of one embed share its deadline; a bank of examples may take longer."""


class EncoderSettings(Settings):
    """A model in Hugging Face's format, on this machine."""

    model: Annotated[str, Field(min_length=1, max_length=1024)]
    """A folder, or a model that ``wayside models pull`` brought: ``owner/name``."""
    task: Task | None = None
    """What it is asked to do; absent: what its ``config.json`` says it was trained for."""
    labels: dict[str, str] = Field(default_factory=dict)
    """The model's names of labels, and yours; two that get one name add up. For a token
    classifier ``O`` is the label of a token that is part of nothing."""
    positive: tuple[str, ...] = ()
    """For guards: labels (yours) that count even if one window alone has them."""
    combine: Literal["mean", "max"] | None = None
    """How the windows of a long text make one ranking: their mean, or the one with the most
    probability on `positive`; absent: max when there are positive labels."""
    words: Word = "mean"
    """Which tokens of a word label it: their mean, the first, or each for itself (token)."""
    pooling: Pooling | None = None
    """How tokens make a text's vector; absent: what the folder says, else mean."""
    dimension: PositiveInt | None = None
    """Keep so many numbers of a vector; only for models trained for it (Matryoshka)."""
    prefix: Annotated[str, Field(max_length=4096)] = ""
    """Put before every text to embed, such as ``query: `` for E5."""
    max_tokens: PositiveInt | None = None
    """Tokens of one window; absent: as many as the model reads, at most 512."""
    overlap: Annotated[int, Field(ge=0)] = 64
    """Tokens that a window shares with the next; at most half a window."""
    max_windows: Annotated[int, Field(ge=1, le=256)] = 8
    """A longer text is read at its beginning, its end and evenly between."""
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Cores that one ask uses."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Asks that run side by side."""
    queue: Annotated[int, Field(ge=1, le=65536)] = 64
    """Asks that may wait; one more is refused, which makes its signal unknown."""
    batch: Annotated[int, Field(ge=1, le=256)] = 1
    """Windows that go through the network together, of several asks if they wait."""
    deadline_ms: PositiveInt | None = None
    """An ask without an answer by then has failed; absent: 2000, or 3000 to mark."""

    @model_validator(mode="after")
    def _max_of_what(self) -> EncoderSettings:
        if self.combine == "max" and not self.positive:
            raise ValueError("combine: max takes the window with the most on `positive`; list it")
        if self.combine == "mean" and self.positive:
            raise ValueError("`positive` decides with combine: max; leave one of them out")
        return self


class Network(Protocol):
    """A loaded model. Called from the pool's threads, several at once."""

    def __call__(self, ids: Ids, mask: Ids, types: Ids) -> Rows:
        """``float32``: ``[batch, labels]``, ``[batch, tokens, labels]``, or vectors likewise.

        All three inputs are ``[batch, tokens]``; ``mask`` is 0 where a row is filled up.
        """
        ...


class Encoder(Engine):
    """A network between a tokenizer and a head, on threads of its own."""

    def __init__(self, rule: EncoderSettings, tools: Tools) -> None:
        folder = find(rule.model)
        self._task = rule.task or folder.task
        self.tasks = frozenset([self._task])
        self._prefix, self._batch = rule.prefix, rule.batch
        self._pad = int(folder.config.get("pad_token_id") or 0)
        self._head = head_of(self._task, rule, folder)
        if isinstance(self._head, Ranking | Marking):
            self.labels = self._head.labels
        size = min(rule.max_tokens or WINDOW, folder.longest)
        self._tokeniser = Tokeniser(
            folder.tokenizer, size=size, overlap=rule.overlap, most=rule.max_windows
        )
        self._network = self.network(folder, rule)
        self._deadline_s = (rule.deadline_ms or DEADLINES_MS[self._task]) / 1e3
        self._pool: Pool[Question, tuple[Any, ...]] = Pool(
            self._answer,
            name=tools.name or rule.model,
            workers=rule.workers,
            queue=rule.queue,
            batch=rule.batch,
        )

    @classmethod
    def tasks_of(cls, rule: EncoderSettings) -> frozenset[Task]:
        """The task set, else the one in the folder; all three while there is no folder yet."""
        if rule.task is not None:
            return frozenset([rule.task])
        try:
            return frozenset([find(rule.model).task])
        except ValueError:  # building it will say so
            return frozenset(DEADLINES_MS)

    def network(self, folder: Folder, rule: Any) -> Network:
        """Load the model. Raises what `Engines.load` tells: ``ValueError``, ``ImportError``."""
        raise NotImplementedError

    async def classify(self, text: str) -> Labels:
        if self._task != "classify":
            raise self._refusal("ranks no labels")
        found: Labels = (await self._pool.ask(((text,), ""), self._deadline_s))[0]
        return found

    async def mark(self, text: str, context: str) -> Spans:
        if self._task != "mark":
            raise self._refusal("finds no pieces of a text")
        found: Spans = (await self._pool.ask(((text,), context), self._deadline_s))[0]
        return found

    async def embed(self, texts: tuple[str, ...]) -> Vectors:
        if self._task != "embed":
            raise self._refusal("makes no vectors")
        if not texts:
            return np.zeros((0, 0), np.float32)
        asked = tuple([self._prefix + text for text in texts]) if self._prefix else texts
        patience = self._deadline_s * -(-len(texts) // SHORT)
        return np.stack(await self._pool.ask((asked, ""), patience))

    def close(self) -> None:
        self._pool.close()

    def _refusal(self, cannot: str) -> AskFailed:
        return AskFailed(f"engine {self._pool.name!r} {cannot}: its model is to {self._task}")

    def _answer(self, questions: Sequence[Question]) -> list[tuple[Any, ...]]:
        """On a thread of the pool: every text of every question, windows grouped by length."""
        read = [
            (text, self._tokeniser.pieces(text, context))
            for texts, context in questions
            for text in texts
        ]
        outputs = self._run([piece for _, pieces in read for piece in pieces])
        answers: list[Any] = []
        at = 0
        for text, pieces in read:
            answers.append(self._head.answer(text, pieces, outputs[at : at + len(pieces)]))
            at += len(pieces)
        ends = accumulate((len(texts) for texts, _ in questions), initial=0)
        return [tuple(answers[start:end]) for start, end in pairwise(ends)]

    def _run(self, pieces: list[Piece]) -> list[Rows]:
        """The network's output for each window, without what only filled it up."""
        outputs: list[Rows] = [_NOTHING] * len(pieces)
        for chosen in alike([len(piece.ids) for piece in pieces], self._batch):
            longest = len(pieces[chosen[0]].ids)
            ids = np.full((len(chosen), longest), self._pad, np.int64)
            mask, types = np.zeros_like(ids), np.zeros_like(ids)
            for row, i in enumerate(chosen):
                length = len(pieces[i].ids)
                ids[row, :length], types[row, :length] = pieces[i].ids, pieces[i].types
                mask[row, :length] = 1
            found = self._network(ids, mask, types)
            for row, i in enumerate(chosen):
                outputs[i] = found[row, : len(pieces[i].ids)] if found.ndim == 3 else found[row]
        return outputs


_NOTHING: Rows = np.zeros(0, np.float32)
FILLED = 0.8
"""A window joins a batch if at least this much of its row is its own: what fills rows up costs as
much as text. Without this, windows of 8 to 256 tokens cost 3.7 times as much by eights."""


def alike(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Places grouped by length, at most ``most`` in a group, the longest of each first."""
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        last = groups[-1] if groups else None
        if last and len(last) < most and lengths[place] >= FILLED * lengths[last[0]]:
            last.append(place)
        else:
            groups.append([place])
    return groups


_ONLY_FOR: dict[str, tuple[Task, ...]] = {
    "labels": ("classify", "mark"),
    "positive": ("classify",),
    "combine": ("classify",),
    "words": ("mark",),
    "pooling": ("embed",),
    "dimension": ("embed",),
    "prefix": ("embed",),
}


def head_of(task: Task, rule: EncoderSettings, folder: Folder) -> Head:
    """What the network's outputs mean. ``ValueError`` for settings that do not fit the model."""
    for key, tasks in _ONLY_FOR.items():
        if key in rule.model_fields_set and task not in tasks:
            able = " and ".join(tasks)
            raise ValueError(f"`{key}` is for models that {able}; this one is to {task}")
    if task == "embed":
        return Pooled(rule.pooling or folder.pooling, rule.dimension)
    names = folder.labels
    if not names:
        raise ValueError(f"{folder.path}/config.json has no id2label, so its labels have no names")
    known = folder.known.labels if folder.known else {}
    rename = {**known, **rule.labels}
    bare = {n[2:] for n in names if n[:2] in ("B-", "I-")} if task == "mark" else set()
    strange = sorted(set(rule.labels) - set(names) - bare)
    if strange:
        there = sorted({*names, *bare})
        raise ValueError(f"`labels` renames {strange[0]!r}, but the model has {there}")
    if task == "mark":
        return Marking(names, rename, rule.words)
    positive = rule.positive or (folder.known.positive if folder.known else ())
    if rule.combine == "mean":
        positive = ()
    return Ranking([rename.get(n, n) for n in names], several=folder.several, positive=positive)
