"""Says whether a text attacks the model that reads it, asks for harm, or neither.

Three things are combined. What hides words is undone first (`normalise`). Shapes that attacks take
are looked for in the whole text (`attack_structure`). A linear model weighs words, word parts and
shapes together, in stretches of 6 to 128 tokens, and the likeliest stretch speaks for the text
(`attack_windows`), so that nothing appended or put in front can dilute it.

Bounds: a million characters are normalised and searched for shapes (the ends of a longer text);
`LEARNT` of them, the ends and what surrounds the first shapes, are weighed word by word. Nothing
here raises on any ``str``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wayside.engines import attack_windows, normalise
from wayside.engines.attack_structure import NAMES, Hit, Shapes
from wayside.engines.attack_windows import ROWS, Stretch
from wayside.engines.base import Engine
from wayside.engines.normalise import View
from wayside.vocab.ask import Labels, Span, Spans

WEIGHTS: Final = Path(__file__).with_name("weights")
MAGIC: Final = b"wayside-attacks 1\n"
BENIGN: Final = "benign"
LEARNT: Final = 32_000
"""Characters of a text that are weighed word by word."""
_AROUND: Final = 400  # characters kept on each side of a shape in the middle of a long text
_PLACES: Final = 10  # such places
_NEAR: Final = 200  # characters around the telling stretch in which shapes are told of
LEARNED: Final = "reads like an attack"
"""What is told of a stretch that no shape explains."""


@dataclass(frozen=True, slots=True, eq=False)
class AttackModel:
    """Weights of one detector, as its file holds them: one column a kind of trouble."""

    kinds: tuple[str, ...]
    weights: NDArray[np.int8]  # `ROWS` x kinds
    scales: tuple[float, ...]  # what one step of a weight is worth, by kind
    biases: tuple[float, ...]
    slopes: tuple[float, ...]  # calibration: logit = slope * score + offset
    offsets: tuple[float, ...]
    facts: dict[str, Any]  # where it came from; never read to classify


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a text got its labels: the shapes seen, and the stretch that spoke for it."""

    labels: Labels
    shapes: tuple[str, ...]
    """Names from `attack_structure.SHAPES`, in and around it, in the order of the text."""
    how: str
    """``""``, or the encoding under which the telling text was hidden."""
    chunk: str
    """The likeliest stretch, as the detector read it: normalised, lower case."""


@dataclass(frozen=True, slots=True)
class _Scored:
    view: View
    hits: list[Hit]
    best: list[Stretch]  # one a kind
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class AttackDetector(Engine):
    """A linear detector over the stretches of a text, loaded from one file."""

    at_once = 8_000
    tasks = frozenset({"classify", "mark"})

    def __init__(self, model: AttackModel) -> None:
        self.labels = (*model.kinds, BENIGN)
        self._model = model
        self._weights = model.weights.astype(np.float32) * np.array(model.scales, np.float32)
        self._biases = np.array(model.biases, np.float32)
        self._shapes = Shapes()

    def classify(self, text: str) -> Labels:
        """Every label with its calibrated probability, the likeliest first; they sum to 1."""
        return self._labels([scored.best for scored in self._scored(text)])

    def explain(self, text: str) -> Explanation:
        """The labels of ``text``, and what in it speaks for them."""
        scored = self._scored(text)
        labels = self._labels([one.best for one in scored])
        if not scored:
            return Explanation(labels, (), "", "")
        told = next((label for label, _ in labels if label != BENIGN), self._model.kinds[0])
        kind = self._model.kinds.index(told)
        top = max(scored, key=lambda one: one.best[kind].score)
        best = top.best[kind]
        start, end = int(top.starts[best.first]), int(top.ends[best.last - 1])
        near = [h for h in top.hits if h.start < end + _NEAR and h.end > start - _NEAR]
        names = dict.fromkeys(NAMES[h.shape] for h in sorted(near, key=lambda h: h.start))
        return Explanation(labels, tuple(names), top.view.how, top.view.text[start:end])

    def mark(self, text: str, context: str) -> Spans:
        """The shapes of an attack in ``text``, by name, where they can be told apart in it.

        Empty unless an attack is likelier than not. What was hidden or disguised is marked as a
        whole. ``context`` is not used.
        """
        found = self.explain(text)
        likely = dict(found.labels).get(self._model.kinds[0], 0.0)
        if likely < 0.5 or not text:
            return ()
        names = found.shapes or (LEARNED,)
        if found.how:
            return (Span(0, len(text), f"{found.how}: {names[0]}", likely),)
        plain = text.lower()
        spans: list[Span] = []
        for hit in sorted(self._shapes.find(plain[: normalise.LIMIT]), key=lambda h: h.start):
            if NAMES[hit.shape] in names and (not spans or hit.start >= spans[-1].end):
                spans.append(Span(hit.start, hit.end, NAMES[hit.shape], likely))
        return tuple(spans) or (Span(0, len(text), names[0], likely),)

    def scores(self, text: str) -> list[float]:
        """The best score of each kind before calibration; far below 0 for an empty text."""
        found = self._scored(text)
        kinds = range(len(self._model.kinds))
        return [max((one.best[kind].score for one in found), default=-99.0) for kind in kinds]

    def _scored(self, text: str) -> list[_Scored]:
        found = []
        for view in readings(text):
            hits = self._shapes.find(view.text)
            if len(view.text) > LEARNT:
                view = View(view.how, _excerpt(view.text, hits))
                hits = self._shapes.find(view.text)
            features = attack_windows.features(view.text, hits)
            best = attack_windows.score(features, self._weights, self._biases)
            if best:
                found.append(_Scored(view, hits, best, features.starts, features.ends))
        return found

    def _labels(self, best: list[list[Stretch]]) -> Labels:
        model = self._model
        if not best:
            return ((BENIGN, 1.0), *((kind, 0.0) for kind in model.kinds))
        logits = [0.0]
        for kind in range(len(model.kinds)):
            score = max([stretches[kind].score for stretches in best])
            logits.append(model.slopes[kind] * score + model.offsets[kind])
        top = max(logits)
        raised = [exp(max(logit - top, -700.0)) for logit in logits]
        whole = sum(raised)
        pairs = zip((BENIGN, *model.kinds), [one / whole for one in raised], strict=True)
        return tuple(sorted(pairs, key=_probability, reverse=True))


class JailbreakDetector(AttackDetector):
    """Labels a prompt ``jailbreak``, ``harmful`` (a harmful request, plainly put), ``benign``."""

    def __init__(self, file: Path = WEIGHTS / "jailbreak.model") -> None:
        super().__init__(read(file))


class ResponseJailbreakDetector(AttackDetector):
    """Labels an answer ``jailbreak`` when it gave in to an attack or leaks its instructions.

    Made to be asked about windows of a streamed answer: it takes any piece of text.
    """

    def __init__(self, file: Path = WEIGHTS / "jailbreak_response.model") -> None:
        super().__init__(read(file))


def readings(text: str) -> list[View]:
    """The text as it stands, and what it hides: lower case, single spaces."""
    said = normalise.plain(text)
    views = [View("", said), *normalise.hidden(said)]
    return [View(how, " ".join(one.lower().split())) for how, one in views]


def _excerpt(text: str, hits: list[Hit]) -> str:
    """Both ends of a long text, and what stands around the first few shapes between them."""
    end = (LEARNT - 2 * _AROUND * _PLACES) // 2
    pieces, at = [text[:end]], end
    for hit in sorted(hits, key=lambda hit: hit.start):
        if len(pieces) > _PLACES:
            break
        start = max(at, hit.start - _AROUND)
        stop = min(hit.start + _AROUND, len(text) - end)
        if start < stop:
            pieces.append(text[start:stop])
            at = stop
    return " ".join((*pieces, text[-end:]))


def _probability(pair: tuple[str, float]) -> float:
    return pair[1]


def write(path: Path, model: AttackModel) -> None:
    """Writes the model; the same model always gives the same bytes."""
    header = {
        name: getattr(model, name)
        for name in ("kinds", "scales", "biases", "slopes", "offsets", "facts")
    }
    line = json.dumps(header, sort_keys=True).encode() + b"\n"
    path.write_bytes(MAGIC + line + np.ascontiguousarray(model.weights, np.int8).tobytes())


def read(path: Path) -> AttackModel:
    """The model in a file; ``ValueError`` says what is wrong with a file that holds none."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path} is no jailbreak detector: it must begin with {MAGIC!r}")
    body = data.find(b"\n", len(MAGIC)) + 1
    try:
        header = json.loads(data[len(MAGIC) : body])
        kinds = tuple(header["kinds"])
        weights = np.frombuffer(data, np.int8, ROWS * len(kinds), body)
        if len(data) - body != weights.nbytes or not kinds:
            raise ValueError(f"{len(data) - body} bytes of weights, expected {weights.nbytes}")
        numbers = {
            name: tuple(map(float, header[name]))
            for name in ("scales", "biases", "slopes", "offsets")
        }
        if any(len(one) != len(kinds) for one in numbers.values()):
            raise ValueError(f"one number a kind, got {numbers}")
        return AttackModel(
            kinds, weights.reshape(ROWS, len(kinds)), facts=header["facts"], **numbers
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train or install it again") from error
